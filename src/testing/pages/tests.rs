use super::*;

const HOSTILE: &str = "\"><img src=x onerror='alert(1)'>";

fn pages() -> Pages<'static> {
    Pages { issuer: HOSTILE }
}

fn back(leads_to: &'static str) -> Back<'static> {
    Back { action: HOSTILE, transaction: HOSTILE, leads_to: Some(leads_to) }
}

fn text(page: &Response<Bytes>) -> &str {
    std::str::from_utf8(page.body()).unwrap()
}

#[test]
fn whatever_is_shown_on_a_page_is_text() {
    let answer = TestRedirect::to(HOSTILE.to_owned(), crate::testing::redirect::Mode::FormPost).with(HOSTILE, HOSTILE);
    for page in [
        pages().login(back(HOSTILE), HOSTILE, HOSTILE, Some(HOSTILE)),
        pages().login(back(HOSTILE), HOSTILE, "", None),
        pages().consent(back(HOSTILE), HOSTILE, HOSTILE, &[HOSTILE]),
        pages().sign_out(back(HOSTILE), HOSTILE),
        pages().signed_out(),
        pages().error(HOSTILE),
        pages().form_post(&answer),
    ] {
        let text = text(&page);
        assert!(!text.contains("<img") && !text.contains("onerror='"), "{text}");
        assert!(text.contains("&quot;&gt;&lt;img src=x onerror=&#39;alert(1)&#39;&gt;"));
        assert_eq!(page.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(page.headers()[REFERRER_POLICY], "strict-origin");
        let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("img src=x"));
    }
}

#[test]
fn what_html_cannot_say_is_replaced() {
    assert_eq!(escape("a\0b\u{1b}c\td\u{7f}"), "a\u{fffd}b\u{fffd}c\td\u{fffd}");
    assert_eq!(escape("&lt;"), "&amp;lt;");
}

#[test]
fn a_policy_names_the_origin_that_a_form_leads_to() {
    for (url, expected) in [
        ("https://web.test/callback?x=1", Some("https://web.test")),
        ("http://127.0.0.1:8000", Some("http://127.0.0.1:8000")),
        ("http://[::1]:8000/cb", Some("http://[::1]:8000")),
        ("com.example.app:/callback", Some("com.example.app:")),
        ("com.example.app://callback", Some("com.example.app:")),
        ("https://web.test;script-src *", None),
        ("https://web.test 'unsafe-inline'/", None),
        ("nonsense", None),
        ("", None),
    ] {
        assert_eq!(origin(url).as_deref(), expected, "{url}");
    }
}

#[test]
fn a_page_says_what_a_known_scope_means() {
    let page = pages().consent(back("https://web.test/"), "Web", "alice", &["profile", "things:read"]);
    let text = text(&page);
    assert!(text.contains("<bdi>profile</bdi></code><span>See your name and profile</span>"));
    assert!(text.contains("<bdi>things:read</bdi></code></li>"));
    let nothing = pages().consent(back("https://web.test/"), "Web", "alice", &[]);
    assert!(!super::tests::text(&nothing).contains("<ul"));
}
