//! What the authorization endpoint sends back by way of the browser.

use std::fmt;

/// An authorization response on its way through the user's browser (RFC 6749 s4.1.2), from
/// [`TestIssuer::sign_in`](super::TestIssuer::sign_in) or [`TestIssuer::deny`](super::TestIssuer::deny).
///
/// A test delivers it to the client: by [`url`](Self::url) as a query, or by [`form`](Self::form) as a form. It may
/// [change](Self::with) it on the way.
#[derive(Clone, PartialEq, Eq)]
pub struct TestRedirect {
    redirect_uri: String,
    mode: Mode,
    parameters: Vec<(String, String)>,
}

/// `response_mode` (OAuth 2.0 Multiple Response Types 1.0 s2.1, Form Post Response Mode 1.0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Query,
    FormPost,
}

impl TestRedirect {
    pub(super) const fn to(redirect_uri: String, mode: Mode) -> Self {
        Self { redirect_uri, mode, parameters: Vec::new() }
    }

    /// The address of the client with the response as its query, whatever response mode was asked for.
    #[must_use]
    pub fn url(&self) -> String {
        let sign = if self.redirect_uri.contains('?') { '&' } else { '?' };
        format!("{}{sign}{}", self.redirect_uri, self.body())
    }

    /// The address of the client, and the response as the body of the form that is posted there
    /// (`application/x-www-form-urlencoded`), whatever response mode was asked for.
    #[must_use]
    pub fn form(&self) -> (String, String) {
        (self.redirect_uri.clone(), self.body())
    }

    /// The response mode that was asked for: `query` or `form_post`.
    #[must_use]
    pub const fn response_mode(&self) -> &'static str {
        match self.mode {
            Mode::Query => "query",
            Mode::FormPost => "form_post",
        }
    }

    /// A parameter of the response: `code`, `state`, `iss`, `error`, `error_description`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The same with this parameter, or with this value instead of its own: what an attacker in the browser would make of it.
    #[must_use]
    pub fn with(self, name: &str, value: &str) -> Self {
        let mut changed = self.without(name);
        changed.parameters.push((name.to_owned(), value.to_owned()));
        changed
    }

    /// The same without this parameter.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.retain(|(known, _)| known != name);
        self
    }

    pub(super) const fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    pub(super) fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    fn body(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.parameters).finish()
    }
}

impl fmt::Debug for TestRedirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.parameters.iter().map(|(name, _)| name.as_str()).collect();
        let mut debug = f.debug_struct("TestRedirect");
        debug.field("redirect_uri", &self.redirect_uri).field("mode", &self.mode).field("parameters", &names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_joins_the_query_that_is_there_and_can_be_changed() {
        let redirect = |uri: &str| TestRedirect::to(uri.to_owned(), Mode::Query).with("code", "a&b").with("state", "s");
        assert_eq!(redirect("https://web.test/cb").url(), "https://web.test/cb?code=a%26b&state=s");
        assert_eq!(redirect("https://web.test/cb?x=1").url(), "https://web.test/cb?x=1&code=a%26b&state=s");
        let changed = redirect("https://web.test/cb").with("code", "c").without("state");
        assert_eq!(changed.form(), ("https://web.test/cb".to_owned(), "code=c".to_owned()));
        assert!(!format!("{changed:?}").contains("\"c\""));
    }
}
