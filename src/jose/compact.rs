//! A compact JWS, taken apart and not yet believed (RFC 7515 s7.1).

use smallvec::SmallVec;

use crate::jose::algorithm::Algorithm;
use crate::jose::base64url::{self, Room};
use crate::jose::json::{self, Duplicates, Text, Value};
use crate::reason::Reason;

const HEADER_LIMITS: json::Limits = json::Limits { depth: 16, members: 64, duplicates: Duplicates::Refused };

/// The longest `kid` that is looked up, in bytes.
const MAX_KID: usize = 256;

/// What a token says of itself before its signature was checked. It can be routed and verified, and nothing else.
pub(crate) struct Unverified<'a> {
    pub(crate) header: Header,
    pub(crate) signing_input: &'a [u8],
    /// Still in base64url.
    pub(crate) payload: &'a [u8],
    /// Still in base64url.
    pub(crate) signature: &'a [u8],
}

/// The members of the JOSE header that count. `jwk`, `jku`, `x5u`, `x5c` and `x5t` are not among them: a token never brings
/// its own key and never names where one lies (RFC 8725 s3.10).
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    kid: Option<SmallVec<[u8; 48]>>,
    pub(crate) typ: Typ,
}

/// `typ`, as the media type that it abbreviates (RFC 7515 s4.1.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typ {
    Absent,
    /// `at+jwt` (RFC 9068 s2.1).
    AtJwt,
    /// `JWT` (RFC 7519 s5.1).
    Jwt,
    /// Any other, in lower case.
    Other(Box<str>),
}

impl<'a> Unverified<'a> {
    /// Takes a token apart. What [`Header::of`] says of its first segment may be known.
    ///
    /// The caller has seen to the length of the token.
    pub(crate) fn parse_knowing(token: &'a [u8], known: impl FnOnce(&[u8]) -> Option<Header>) -> Result<Self, Reason> {
        let [first, payload, signature] = segments(token)?;
        let signing_input =
            token.get(..first.len().saturating_add(1).saturating_add(payload.len())).unwrap_or_default();
        let header = known(first).map_or_else(|| Header::of(first), Ok)?;
        Ok(Self { header, signing_input, payload, signature })
    }

    /// The same, where nothing is known.
    #[cfg(any(test, feature = "driver", feature = "testing"))]
    pub(crate) fn parse(token: &'a [u8]) -> Result<Self, Reason> {
        Self::parse_knowing(token, |_| None)
    }
}

/// Three parts, two dots; five parts are a JWE (RFC 7516 s9).
fn segments(token: &[u8]) -> Result<[&[u8]; 3], Reason> {
    let mut dots = memchr::memchr_iter(b'.', token);
    let (Some(first), Some(second)) = (dots.next(), dots.next()) else { return Err(Reason::Malformed) };
    match dots.take(3).count() {
        0 => {}
        2 if first > 0 => return Err(Reason::Encrypted),
        _ => return Err(Reason::Malformed),
    }
    let part = |from: usize, to: usize| token.get(from..to).unwrap_or_default();
    Ok([part(0, first), part(first.saturating_add(1), second), part(second.saturating_add(1), token.len())])
}

/// Whether what stands before the first dot is a JSON object in base64url: a JOSE header, good or bad, which no opaque token has.
pub(crate) fn has_header(token: &[u8]) -> bool {
    let first = token.split(|byte| *byte == b'.').next().unwrap_or_default();
    let mut room = Room::new();
    let Some(header) = base64url::decode_into(first, &mut room) else { return false };
    let header = header.trim_ascii();
    header.starts_with(b"{") && header.ends_with(b"}")
}

fn short_name(kid: &str) -> Result<SmallVec<[u8; 48]>, Reason> {
    if kid.len() <= MAX_KID { Ok(SmallVec::from_slice(kid.as_bytes())) } else { Err(Reason::Malformed) }
}

/// A header member that may be absent, and is of its type if it is there.
enum Member<T> {
    Absent,
    Given(T),
    Wrong,
}

impl Clone for Header {
    fn clone(&self) -> Self {
        // Octets are copied at once, where a derived clone goes from one to the next.
        let kid = self.kid.as_deref().map(SmallVec::from_slice);
        Self { algorithm: self.algorithm, kid, typ: self.typ.clone() }
    }
}

impl Header {
    /// Reads the first segment of a token.
    pub(crate) fn of(segment: &[u8]) -> Result<Self, Reason> {
        let mut room = Room::new();
        Self::read(base64url::decode_into(segment, &mut room).ok_or(Reason::Malformed)?)
    }

    fn read(document: &[u8]) -> Result<Self, Reason> {
        let mut alg = Member::Absent;
        let mut kid = Member::Absent;
        let mut typ = Member::Absent;
        let mut cty = Member::Absent;
        let mut encrypted = false;
        let mut extended = false;
        let text = std::str::from_utf8(document).map_err(|_| Reason::Malformed)?;
        json::object_of_text(text, HEADER_LIMITS, |name, value| match name {
            b"alg" => alg = string(value),
            b"kid" => kid = string(value),
            b"typ" => typ = string(value),
            b"cty" => cty = string(value),
            b"enc" => encrypted = true,
            // RFC 7515 s4.1.11 and RFC 7797 s7: no extension is understood here, so none may be demanded. `zip` has a
            // meaning in a JWE alone (RFC 7516 s4.1.3).
            b"crit" | b"b64" | b"zip" => extended = true,
            _ => {}
        })
        .map_err(|_| Reason::Malformed)?;
        let Member::Given(alg) = alg else { return Err(Reason::Malformed) };
        let kid = match kid {
            Member::Absent => None,
            Member::Given(kid) => Some(short_name(&kid.decoded())?),
            Member::Wrong => return Err(Reason::Malformed),
        };
        let typ = match typ {
            Member::Absent => Typ::Absent,
            Member::Given(typ) => Typ::read(&typ.decoded()),
            Member::Wrong => return Err(Reason::Malformed),
        };
        if encrypted {
            return Err(Reason::Encrypted);
        }
        if extended {
            return Err(Reason::UnsupportedExtension);
        }
        // RFC 7519 s5.2: the payload would be another token, not claims.
        match cty {
            Member::Absent => {}
            Member::Given(cty) if !media_type(&cty.decoded()).eq_ignore_ascii_case("jwt") => {}
            Member::Given(_) | Member::Wrong => return Err(Reason::Malformed),
        }
        let algorithm = Algorithm::from_name(&alg.decoded()).ok_or(Reason::AlgorithmRefused)?;
        Ok(Self { algorithm, kid, typ })
    }

    /// The octets of the key's name, if the token has one.
    pub(crate) fn kid_octets(&self) -> Option<&[u8]> {
        self.kid.as_deref()
    }

    /// The name of the key, if the token has one.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref().and_then(|kid| std::str::from_utf8(kid).ok())
    }
}

#[inline]
const fn string<'a>(value: &Value<'a>) -> Member<Text<'a>> {
    match value {
        Value::String(text) => Member::Given(*text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Member::Wrong,
    }
}

impl Typ {
    fn read(text: &str) -> Self {
        match media_type(text) {
            short if short.eq_ignore_ascii_case("at+jwt") => Self::AtJwt,
            short if short.eq_ignore_ascii_case("jwt") => Self::Jwt,
            other => Self::Other(other.to_ascii_lowercase().into_boxed_str()),
        }
    }

    /// The type in lower case, without `application/`.
    #[cfg(feature = "testing")]
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Absent => None,
            Self::AtJwt => Some("at+jwt"),
            Self::Jwt => Some("jwt"),
            Self::Other(typ) => Some(typ),
        }
    }
}

/// RFC 7515 s4.1.9: `application/` may be left out where no other slash is in the type, and case does not count.
pub(crate) fn media_type(text: &str) -> &str {
    const LONG: &str = "application/";
    match text.split_at_checked(LONG.len()) {
        Some((long, short)) if long.eq_ignore_ascii_case(LONG) && !short.contains('/') => short,
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Result<Header, Reason> {
        let token = format!("{}.e30.AA", base64url::encode(header.as_bytes()));
        Unverified::parse(token.as_bytes()).map(|token| token.header)
    }

    #[test]
    fn a_token_has_three_segments() {
        let header = base64url::encode(br#"{"alg":"RS256"}"#);
        assert!(Unverified::parse(format!("{header}.e30.AA").as_bytes()).is_ok());
        assert!(
            Unverified::parse(format!("{header}..").as_bytes()).is_ok(),
            "empty parts fail later, each for its cause"
        );
        for (token, reason) in [
            (String::new(), Reason::Malformed),
            (".".to_owned(), Reason::Malformed),
            ("..".to_owned(), Reason::Malformed),
            (format!("{header}.e30"), Reason::Malformed),
            (format!("{header}.e30.AA.x"), Reason::Malformed),
            (format!("{header}.a.b.c.d"), Reason::Encrypted),
            (format!("{header}.a.b.c.d.e"), Reason::Malformed),
            ("....".to_owned(), Reason::Malformed),
            (format!("{header}=.e30.AA"), Reason::Malformed),
        ] {
            assert_eq!(Unverified::parse(token.as_bytes()).err(), Some(reason), "{token}");
        }
    }

    #[test]
    fn the_header_is_read_by_type() {
        for (header, reason) in [
            (r#"{}"#, Reason::Malformed),
            (r#"{"alg":256}"#, Reason::Malformed),
            (r#"{"alg":null}"#, Reason::Malformed),
            (r#"{"alg":"RS256","kid":1}"#, Reason::Malformed),
            (r#"{"alg":"RS256","kid":null}"#, Reason::Malformed),
            (r#"{"alg":"RS256","typ":["JWT"]}"#, Reason::Malformed),
            (r#"{"alg":"RS256","cty":"application/JWT"}"#, Reason::Malformed),
            (r#"{"alg":"RS256","cty":["JWT"]}"#, Reason::Malformed),
            (r#"{"alg":"none"}"#, Reason::AlgorithmRefused),
            (r#"{"alg":"rs256"}"#, Reason::AlgorithmRefused),
            (r#"{"alg":"RS256","crit":[]}"#, Reason::UnsupportedExtension),
            (r#"{"alg":"RS256","b64":true}"#, Reason::UnsupportedExtension),
            (r#"{"alg":"RS256","zip":"DEF"}"#, Reason::UnsupportedExtension),
            (r#"{"alg":"RS256","enc":"A128GCM"}"#, Reason::Encrypted),
        ] {
            assert_eq!(parse(header).err(), Some(reason), "{header}");
        }
        let kid = |length: usize| parse(&format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(length)));
        assert!(kid(256).is_ok() && kid(257).is_err());
        let header = parse(r#"{"alg":"ES256","jku":7,"x5c":"no","foo":{"bar":[1]}}"#).unwrap();
        assert_eq!((header.algorithm, header.kid(), &header.typ), (Algorithm::Es256, None, &Typ::Absent));
    }

    #[test]
    fn typ_is_a_media_type() {
        for (text, typ) in [
            ("at+jwt", Typ::AtJwt),
            ("Application/AT+JWT", Typ::AtJwt),
            ("JWT", Typ::Jwt),
            ("dpop+jwt", Typ::Other("dpop+jwt".into())),
            ("application/text/plain", Typ::Other("application/text/plain".into())),
            ("at+jwt ", Typ::Other("at+jwt ".into())),
        ] {
            assert_eq!(parse(&format!(r#"{{"alg":"ES256","typ":"{text}"}}"#)).unwrap().typ, typ);
        }
    }
}
