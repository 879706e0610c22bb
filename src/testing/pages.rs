//! The pages that a person sees.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue};
use http::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{Response, StatusCode};

use super::redirect::TestRedirect;
use super::reply;
use crate::jose::base64url::encode_with_padding;
use crate::jose::crypto::sha256;

/// What all pages of one issuer have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages<'a> {
    /// The issuer's identifier.
    pub(super) issuer: &'a str,
}

/// A form that a page sends back: where to, what for, and which origin the answer may redirect to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Back<'a> {
    pub(super) action: &'a str,
    pub(super) transaction: &'a str,
    pub(super) leads_to: Option<&'a str>,
}

impl Pages<'_> {
    /// Asks for a name, and for a password that does not matter.
    pub(super) fn login(self, back: Back<'_>, client: &str, login: &str, problem: Option<&str>) -> Response<Bytes> {
        let problem = problem
            .map(|problem| format!("<p class=\"problem\" id=\"problem\" role=\"alert\">{}</p>", escape(problem)));
        let described = if problem.is_some() { " aria-invalid=\"true\" aria-describedby=\"problem\"" } else { "" };
        let (name_focus, password_focus) = if login.is_empty() { (" autofocus", "") } else { ("", " autofocus") };
        let body = format!(
            "<h1>Sign in</h1>\n<p class=\"lead\">to go on to <strong><bdi>{client}</bdi></strong></p>\n{problem}\
             <form method=\"post\" action=\"{action}\">\n{transaction}\
             <label for=\"login\">User name</label>\n\
             <input id=\"login\" name=\"login\" type=\"text\" value=\"{login}\" autocomplete=\"username\" \
             autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"255\" required{name_focus}{described}>\n\
             <label for=\"password\">Password</label>\n\
             <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" \
             aria-describedby=\"any-password\"{password_focus}>\n\
             <p class=\"hint\" id=\"any-password\">This issuer is for tests: any password will do, and none as well.</p>\n\
             <div class=\"buttons\"><button id=\"sign-in\" type=\"submit\">Sign in</button></div>\n</form>",
            client = escape(client),
            problem = problem.unwrap_or_default(),
            action = escape(back.action),
            transaction = hidden("transaction", back.transaction),
            login = escape(login),
        );
        self.page(StatusCode::OK, "Sign in", &body, &Policy::of(back.leads_to))
    }

    /// Asks whether a client may have what it wants.
    pub(super) fn consent(self, back: Back<'_>, client: &str, login: &str, scopes: &[&str]) -> Response<Bytes> {
        let items: String = scopes.iter().map(|scope| scope_item(scope)).collect();
        let wants = if items.is_empty() {
            "<p>It asks for nothing in particular.</p>\n".to_owned()
        } else {
            format!("<p>It asks for:</p>\n<ul class=\"scopes\">\n{items}</ul>\n")
        };
        let body = format!(
            "<h1>Allow <bdi>{client}</bdi>?</h1>\n\
             <p class=\"lead\">You are signed in as <strong><bdi>{login}</bdi></strong>.</p>\n{wants}\
             <form method=\"post\" action=\"{action}\">\n{transaction}\
             <div class=\"buttons\"><button id=\"allow\" type=\"submit\" name=\"decision\" value=\"allow\" autofocus>Allow</button>\n\
             <button id=\"deny\" type=\"submit\" name=\"decision\" value=\"deny\" class=\"quiet\">Deny</button></div>\n\
             <p class=\"other\"><button id=\"switch\" type=\"submit\" name=\"decision\" value=\"switch\" class=\"link\">\
             Sign in as somebody else</button></p>\n</form>",
            client = escape(client),
            login = escape(login),
            action = escape(back.action),
            transaction = hidden("transaction", back.transaction),
        );
        self.page(StatusCode::OK, "Allow access", &body, &Policy::of(back.leads_to))
    }

    /// Asks whether somebody wants to sign out.
    pub(super) fn sign_out(self, back: Back<'_>, login: &str) -> Response<Bytes> {
        let body = format!(
            "<h1>Sign out?</h1>\n<p class=\"lead\">You are signed in as <strong><bdi>{login}</bdi></strong>.</p>\n\
             <form method=\"post\" action=\"{action}\">\n{transaction}\
             <div class=\"buttons\"><button id=\"sign-out\" type=\"submit\" autofocus>Sign out</button></div>\n</form>",
            login = escape(login),
            action = escape(back.action),
            transaction = hidden("transaction", back.transaction),
        );
        self.page(StatusCode::OK, "Sign out", &body, &Policy::of(back.leads_to))
    }

    pub(super) fn signed_out(self) -> Response<Bytes> {
        let body = "<h1>Signed out</h1>\n<p class=\"lead\">You can close this page.</p>";
        self.page(StatusCode::OK, "Signed out", body, &Policy::of(None))
    }

    /// Says what is wrong to the person, who cannot be sent on.
    pub(super) fn error(self, problem: &str) -> Response<Bytes> {
        let body = format!(
            "<h1>This does not work</h1>\n<p class=\"problem\" role=\"alert\">{}</p>\n\
             <p class=\"hint\">Go back to where you came from, and try once more from there.</p>",
            escape(problem)
        );
        self.page(StatusCode::BAD_REQUEST, "Error", &body, &Policy::of(None))
    }

    /// Sends an answer on as a form, by itself or by a button (OAuth 2.0 Form Post Response Mode 1.0).
    pub(super) fn form_post(self, answer: &TestRedirect) -> Response<Bytes> {
        let fields: String = answer.parameters().iter().map(|(name, value)| hidden(name, value)).collect();
        let body = format!(
            "<h1>One moment</h1>\n<p class=\"lead\">You are on your way back.</p>\n\
             <form method=\"post\" action=\"{action}\">\n{fields}\
             <div class=\"buttons\"><button id=\"continue\" type=\"submit\">Continue</button></div>\n</form>\n\
             <script>{SUBMIT}</script>",
            action = escape(answer.redirect_uri()),
        );
        let policy = Policy { script: Some(SUBMIT), leads_to: Some(answer.redirect_uri()) };
        self.page(StatusCode::OK, "One moment", &body, &policy)
    }

    fn page(self, status: StatusCode, title: &str, body: &str, policy: &Policy<'_>) -> Response<Bytes> {
        let text = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <link rel=\"icon\" href=\"data:,\">\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{LOGO}\n{body}\n</main>\n\
             <footer>Test issuer <code><bdi>{issuer}</bdi></code></footer>\n</body>\n</html>\n",
            title = escape(title),
            issuer = escape(self.issuer),
        );
        let mut response = reply::document(status, "text/html; charset=utf-8", text);
        let policy = HeaderValue::try_from(policy.text()).unwrap_or(NOTHING_ALLOWED);
        let fixed: [(HeaderName, HeaderValue); 4] = [
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            // With less than the origin a browser would say `Origin: null` with the form that goes to the client.
            (REFERRER_POLICY, HeaderValue::from_static("strict-origin")),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        ];
        response.headers_mut().extend(fixed.map(|(name, value)| (Some(name), value)));
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        response
    }
}

/// What a page may load and do: show its own style, and send its form.
struct Policy<'a> {
    script: Option<&'static str>,
    leads_to: Option<&'a str>,
}

impl<'a> Policy<'a> {
    const fn of(leads_to: Option<&'a str>) -> Self {
        Self { script: None, leads_to }
    }

    /// The header's value. Browsers hold the redirect that answers a form against `form-action` as well, so the client's origin
    /// is in it.
    fn text(&self) -> String {
        let hash = |text: &str| format!("'sha256-{}'", encode_with_padding(&sha256(text.as_bytes())));
        let script = self.script.map(|script| format!("script-src {}; ", hash(script))).unwrap_or_default();
        let leads_to = self.leads_to.and_then(origin).map(|origin| format!(" {origin}")).unwrap_or_default();
        format!(
            "default-src 'none'; {script}style-src {}; img-src data:; form-action 'self'{leads_to}; base-uri 'none'; \
             frame-ancestors 'none'",
            hash(STYLE)
        )
    }
}

/// The origin of an address, or its scheme where it has none, if either is plain enough to stand in a policy.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once(':')?;
    let is_plain = |text: &str| text.bytes().all(|it| it.is_ascii_alphanumeric() || b"+-._:[]".contains(&it));
    let authority = rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?', '#']).next());
    if scheme.is_empty() || !is_plain(scheme) || !authority.is_none_or(is_plain) {
        return None;
    }
    Some(match authority.filter(|authority| !authority.is_empty() && scheme.starts_with("http")) {
        Some(authority) => format!("{scheme}://{authority}"),
        None => format!("{scheme}:"),
    })
}

fn scope_item(scope: &str) -> String {
    let meaning =
        SCOPES.iter().find(|(known, _)| *known == scope).map(|(_, meaning)| format!("<span>{meaning}</span>"));
    format!("<li><code><bdi>{}</bdi></code>{}</li>\n", escape(scope), meaning.unwrap_or_default())
}

fn hidden(name: &str, value: &str) -> String {
    format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">\n", escape(name), escape(value))
}

/// Text that means itself, in an element and between the quotes of an attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // HTML has no way to say these, whatever a client sends.
            '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}' => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

const SCOPES: [(&str, &str); 6] = [
    ("openid", "Know who you are"),
    ("profile", "See your name and profile"),
    ("email", "See your e-mail address"),
    ("address", "See your postal address"),
    ("phone", "See your phone number"),
    ("offline_access", "Stay connected after you have signed out"),
];

const NOTHING_ALLOWED: HeaderValue = HeaderValue::from_static("default-src 'none'");
const SUBMIT: &str = "document.forms[0].submit()";
const LOGO: &str = "<svg class=\"logo\" viewBox=\"0 0 48 48\" aria-hidden=\"true\"><rect width=\"48\" height=\"48\" rx=\"14\"/>\
<circle cx=\"20\" cy=\"20\" r=\"7\"/><path d=\"M25 25l11 11m-5-5l4-4\"/></svg>";
const STYLE: &str = include_str!("pages.css");

#[cfg(test)]
#[path = "pages/tests.rs"]
mod tests;
