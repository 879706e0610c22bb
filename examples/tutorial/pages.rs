//! What the site looks like.

use axum::http::StatusCode;
use axum::response::Html;
use scopegate::{Clock as _, SystemClock};
use serde::Deserialize;

use crate::sessions::Session;

/// Nobody is logged in.
pub(crate) fn welcome() -> Html<String> {
    page(
        "Things",
        r#"<h1>Things</h1>
<p class="lead">A site that keeps your things at an API. Log in to see them.</p>
<p><a class="button" id="sign-in" href="/login">Log in</a></p>"#,
    )
}

/// What is shown of a user, if the server says it.
#[derive(Deserialize)]
struct Profile {
    name: Option<String>,
    email: Option<String>,
}

/// Somebody is logged in.
pub(crate) fn profile(session: &Session, shows_token: bool) -> Html<String> {
    let said = session.user.claims::<Profile>().unwrap_or(Profile { name: None, email: None });
    let subject = session.user.subject();
    let name = said.name.as_deref().unwrap_or(subject);
    let row = |label: &str, id: &str, value: &str| format!("<dt>{label}</dt><dd id=\"{id}\">{}</dd>", escaped(value));
    let mut rows = row("Subject", "subject", subject);
    rows += &said.email.map(|email| row("E-mail", "email", &email)).unwrap_or_default();
    rows += &row("Issuer", "issuer", session.user.issuer().as_str());
    rows += &row("Scope", "scope", session.token.scope().unwrap_or_default());
    let now = SystemClock::new().now().unix_seconds();
    let ends = session.token.expires_at().map(|end| format!("in {} s", end.saturating_sub(now).max(0)));
    rows += &row("Token ends", "token-expires", &ends.unwrap_or_default());
    let token = match shows_token {
        true => format!("<pre id=\"access-token\" hidden>{}</pre>", escaped(session.token.access_token())),
        false => String::new(),
    };
    page(
        name,
        &format!(
            r#"<h1>Hello, <span id="user">{}</span></h1>
<p class="lead">You are logged in, and this is what the authorization server said of you.</p>
<dl>{rows}</dl>{token}
<div class="row">
<form method="post" action="/call-api"><button class="button" id="call-api">Call the API</button></form>
<form method="post" action="/logout"><button class="button quiet" id="sign-out">Log out</button></form>
</div>"#,
            escaped(name)
        ),
    )
}

/// What the API answered.
pub(crate) fn answer(status: StatusCode, body: &str) -> Html<String> {
    let pretty = serde_json::from_str::<serde_json::Value>(body).map(|value| format!("{value:#}"));
    let kind = if status.is_success() { "good" } else { "bad" };
    page(
        "The API's answer",
        &format!(
            r#"<h1>The API's answer</h1>
<p><span class="badge {kind}" id="status">{}</span> <code>GET /api/things</code></p>
<pre id="answer">{}</pre>
<div class="row"><a class="button" href="/profile">Back</a>
<form method="post" action="/call-api"><button class="button quiet" id="call-api">Call it again</button></form></div>"#,
            status.as_u16(),
            escaped(&pretty.unwrap_or_else(|_| body.to_owned())),
        ),
    )
}

/// Something went wrong.
pub(crate) fn error(text: &str) -> Html<String> {
    page(
        "That did not work",
        &format!(
            r#"<h1>That did not work</h1>
<p class="lead" id="error">{}</p>
<p><a class="button" href="/">Start again</a></p>"#,
            escaped(text)
        ),
    )
}

fn page(title: &str, body: &str) -> Html<String> {
    Html(format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
<footer>scopegate, the tutorial</footer>
</body>
</html>
"#,
        escaped(title)
    ))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            other => out.push(other),
        }
    }
    out
}

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5d6678; --paper: #fff; --ground: #eef1f6; --line: #dde2ea; --tint: #2456d6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ebf1; --soft: #a2abbd; --paper: #1b202a; --ground: #12151c; --line: #303744; --tint: #7ba2ff; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-content: center; gap: 1.5rem; padding: 1.5rem;
  background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { width: min(34rem, calc(100vw - 3rem)); padding: 2.25rem; background: var(--paper); border: 1px solid var(--line);
  border-radius: 14px; box-shadow: 0 10px 30px rgb(20 30 60 / 8%); }
h1 { margin: 0 0 .5rem; font-size: 1.6rem; line-height: 1.25; letter-spacing: -.01em; overflow-wrap: anywhere; }
p { margin: 0 0 1.25rem; }
p:last-child { margin-bottom: 0; }
.lead { color: var(--soft); }
dl { display: grid; grid-template-columns: auto 1fr; gap: .5rem 1.25rem; margin: 0 0 1.75rem; padding: 1rem 1.25rem;
  border: 1px solid var(--line); border-radius: 10px; font-size: .93rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
pre { margin: 0 0 1.5rem; padding: 1rem 1.25rem; overflow-x: auto; background: var(--ground); border-radius: 10px; font-size: .88rem; }
.row { display: flex; flex-wrap: wrap; gap: .75rem; }
.button { display: inline-block; padding: .6rem 1.1rem; border: 1px solid var(--tint); border-radius: 9px; background: var(--tint);
  color: var(--paper); font: inherit; font-weight: 600; text-decoration: none; cursor: pointer; }
.button:hover { filter: brightness(1.08); }
.button:focus-visible { outline: 3px solid color-mix(in srgb, var(--tint) 45%, transparent); outline-offset: 2px; }
.quiet { background: transparent; color: var(--tint); }
.badge { display: inline-block; padding: .1rem .55rem; border-radius: 99px; font-weight: 600; font-size: .85rem; }
.good { background: #d9f2e1; color: #11552b; }
.bad { background: #fbe0de; color: #7c1d17; }
footer { text-align: center; color: var(--soft); font-size: .85rem; }
";
