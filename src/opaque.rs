//! Which issuer is asked about a token that does not say whose it is.
//!
//! Settings decide, and never the number of dots: a token that is no JWT goes to the issuer whose tokens begin like it, or to the one
//! issuer that is asked about such tokens at all. What is a JWT, good or bad, is never sent to an issuer that it does not name, unless
//! only one is trusted, which is asked about all.

use crate::config_error::ConfigError;
use crate::jose::compact::has_header;

/// The issuers that are asked, by their places among those that are trusted by name.
#[derive(Debug, Default)]
pub(crate) struct OpaqueRoutes {
    /// By the beginnings of their tokens, the longest first.
    prefixes: Vec<(Box<[u8]>, usize)>,
    /// Who is asked about whatever is no JWT.
    rest: Option<usize>,
    /// Who is asked about everything, being the only one there is.
    all: Option<usize>,
}

/// An issuer that is asked, and nothing else.
pub(crate) struct Candidate<'a> {
    pub(crate) place: usize,
    pub(crate) issuer: &'a str,
    /// What its tokens begin with, if that was said.
    pub(crate) prefix: Option<&'a str>,
}

impl OpaqueRoutes {
    /// Of the issuers that are asked; `is_alone` if no other is trusted, not even one that a resolver would name.
    pub(crate) fn new(candidates: &[Candidate<'_>], is_alone: bool) -> Result<Self, ConfigError> {
        let mut routes = Self::default();
        for candidate in candidates {
            let conflict = |problem| Err(ConfigError::conflict("opaque_prefix", candidate.issuer, problem));
            let taken = |prefix: &str| routes.prefixes.iter().any(|(other, _)| **other == *prefix.as_bytes());
            match candidate.prefix {
                None if candidates.len() > 1 => {
                    return conflict("several issuers have opaque tokens, and it is not said which are this one's");
                }
                None if is_alone => routes.all = Some(candidate.place),
                None => routes.rest = Some(candidate.place),
                Some("") if routes.rest.is_some() => return conflict("another issuer has all that is no JWT"),
                Some("") => routes.rest = Some(candidate.place),
                Some(prefix) if taken(prefix) => return conflict("tokens of another issuer begin in the same way"),
                Some(prefix) => routes.prefixes.push((prefix.as_bytes().into(), candidate.place)),
            }
        }
        routes.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Ok(routes)
    }

    /// The place of the issuer that is asked about this token; `None` for a token that is to be read as a JWT.
    pub(crate) fn route(&self, token: &[u8]) -> Option<usize> {
        if self.all.is_some() {
            return self.all;
        }
        let by_prefix = self.prefixes.iter().find(|(prefix, _)| token.starts_with(prefix)).map(|(_, place)| *place);
        by_prefix.or_else(|| self.rest.filter(|_| !has_header(token)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(prefixes: &[Option<&str>], is_alone: bool) -> Result<OpaqueRoutes, ConfigError> {
        let candidates: Vec<_> = prefixes
            .iter()
            .enumerate()
            .map(|(place, prefix)| Candidate { place, issuer: "https://id.test", prefix: *prefix })
            .collect();
        OpaqueRoutes::new(&candidates, is_alone)
    }

    const JWT: &[u8] = b"eyJhbGciOiJFUzI1NiJ9.e30.AA";

    #[test]
    fn the_only_issuer_is_asked_about_everything() {
        let routes = routes(&[None], true).unwrap();
        assert_eq!((routes.route(JWT), routes.route(b"opaque")), (Some(0), Some(0)));
    }

    #[test]
    fn beside_others_it_is_asked_about_what_is_no_jwt() {
        let routes = routes(&[None], false).unwrap();
        for opaque in [&b"opaque"[..], b"a.b.c", b"a.b.c.d.e", b"eyJh", b"....", b"", b"W10.e30.AA"] {
            assert_eq!(routes.route(opaque), Some(0), "{opaque:?}");
        }
        for jwt in
            [JWT, b"eyJhbGciOiJFUzI1NiJ9", b"eyJhbGciOiJFUzI1NiJ9.a.b.c.d", b"eyJhbGciOiJFUzI1NiJ9..", b"ICB7fQ.x"]
        {
            assert_eq!(routes.route(jwt), None, "{jwt:?}");
        }
    }

    #[test]
    fn the_longest_beginning_counts() {
        let routes = routes(&[Some("ab_"), Some("ab_c"), Some("")], false).unwrap();
        for (token, place) in [(&b"ab_x"[..], Some(0)), (b"ab_cx", Some(1)), (b"ab", Some(2)), (JWT, None)] {
            assert_eq!(routes.route(token), place);
        }
        let nobody = self::routes(&[Some("ab_")], true).unwrap();
        assert_eq!((nobody.route(b"other"), nobody.route(b"ab_x")), (None, Some(0)));
    }

    #[test]
    fn whoever_cannot_be_told_apart_is_refused() {
        for prefixes in [&[None, None][..], &[None, Some("a")], &[Some("a"), Some("a")], &[Some(""), Some("")]] {
            assert_eq!(routes(prefixes, false).unwrap_err().setting(), "opaque_prefix");
        }
    }
}
