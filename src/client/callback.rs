//! What the browser brings back from the server (RFC 6749 s4.1.2).

use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::client::error::OAuthError;
use crate::client::state;

/// The longest answer that is read, in bytes.
const LONGEST: usize = 32 * 1024;

/// The answer of the authorization endpoint, as the browser brings it: parameters, and the cookies that came along.
///
/// ```
/// use scopegate::client::Callback;
/// let request = http::Request::get("/authorize?code=abc&state=xyz").body(())?;
/// let callback = Callback::of(&request); // response_mode=query
/// let posted = Callback::of_form(request.headers(), b"code=abc&state=xyz"); // response_mode=form_post
/// # let _ = (callback, posted);
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone)]
pub struct Callback {
    params: Params,
    cookies: Vec<String>,
}

/// Those that could be read, and why they do not count.
#[derive(Clone, Default)]
pub(crate) struct Params {
    read: Vec<(String, String)>,
    problem: Option<&'static str>,
}

impl Callback {
    /// What stands in a request's query, with its cookies.
    #[must_use]
    pub fn of<B>(request: &http::Request<B>) -> Self {
        Self::of_query(request.headers(), request.uri().query().unwrap_or_default())
    }

    /// The same from its parts.
    #[must_use]
    pub fn of_query(headers: &HeaderMap, query: &str) -> Self {
        Self { params: params(query.as_bytes()), cookies: state::ours(headers) }
    }

    /// What stands in a form that was posted, with the cookies.
    #[must_use]
    pub fn of_form(headers: &HeaderMap, body: &[u8]) -> Self {
        let is_other = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
            let essence = kind.split(';').next().unwrap_or_default().trim();
            !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        let params = if is_other { Params::unreadable("it is not a form") } else { params(body) };
        Self { params, cookies: state::ours(headers) }
    }

    /// Whether there is an answer at all, for an address that is also visited otherwise: it says which login or logout it is about.
    #[must_use]
    pub fn has_state(&self) -> bool {
        self.param("state").is_some()
    }

    pub(crate) fn cookies(&self) -> &[String] {
        &self.cookies
    }

    /// A parameter that is there and not empty.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.params.read.iter().find(|(is, value)| is == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Whether the parameters count. Where they do not, `state` may still say whose login it is that they end.
    pub(crate) const fn check(&self) -> Result<(), OAuthError> {
        match self.params.problem {
            None => Ok(()),
            Some(problem) => Err(OAuthError::MalformedResponse { problem }),
        }
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.params.read.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Callback")
            .field("params", &names)
            .field("problem", &self.params.problem)
            .finish_non_exhaustive()
    }
}

impl Params {
    /// All of them, if they count.
    pub(crate) fn all(self) -> Result<Vec<(String, String)>, &'static str> {
        self.problem.map_or(Ok(self.read), Err)
    }

    fn unreadable(problem: &'static str) -> Self {
        Self { problem: Some(problem), ..Self::default() }
    }
}

/// RFC 6749 s3.1: no parameter stands there twice.
pub(crate) fn params(encoded: &[u8]) -> Params {
    if encoded.len() > LONGEST {
        return Params::unreadable("it is longer than 32 KiB");
    }
    let mut params = Params::default();
    for (name, value) in form_urlencoded::parse(encoded) {
        if params.read.len() == 64 {
            return Params::unreadable("it has more than 64 parameters");
        }
        if params.read.iter().any(|(before, _)| *before == *name) {
            params.problem = Some("a parameter stands in it twice (RFC 6749 s3.1)");
            if name == "state" {
                // It cannot be told which of the two is meant.
                return Params { read: Vec::new(), ..params };
            }
        } else {
            params.read.push((name.into_owned(), value.into_owned()));
        }
    }
    params
}
