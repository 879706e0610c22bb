//! What a person sees, and what a browser brings along.

use super::*;

#[test]
fn a_person_signs_in_allows_and_is_sent_back() {
    let world = World::new();
    let mut browser = world.browser();
    let page = browser.get(&world.url(&[("login_hint", "al")]));
    assert_eq!(page.status, 200);
    for there in
        ["<bdi>Web</bdi>", "name=\"login\"", "value=\"al\"", "name=\"password\"", "id=\"sign-in\"", "autofocus"]
    {
        assert!(page.html.contains(there), "{there} in {}", page.html);
    }
    let consent = browser.send(&page, &[("login", " alice "), ("password", "x")]);
    for there in ["id=\"allow\"", "id=\"deny\"", "<bdi>alice</bdi>", "<bdi>things:read</bdi>", "<bdi>Web</bdi>"] {
        assert!(consent.html.contains(there), "{there} in {}", consent.html);
    }
    let back = browser.send(&consent, &[("decision", "allow")]);
    assert_eq!((back.status, back.parameter("state")), (303, Some("state-1".to_owned())));
    let (status, body) = world.exchange(&back.parameter("code").unwrap(), &[]);
    assert_eq!((status, &part(&body["id_token"], 1)["sub"]), (200, &"alice".into()));
}

#[test]
fn a_person_who_denies_is_sent_back_too() {
    let world = World::new();
    let mut browser = world.browser();
    let consent = browser.sign_in(&world.url(&[]), "alice");
    let back = browser.send(&consent, &[("decision", "deny")]);
    assert_eq!(back.parameter("error").as_deref(), Some("access_denied"));
    let again = browser.send(&consent, &[("decision", "allow")]);
    assert_eq!((again.status, again.location), (400, None), "what was decided is decided");
}

#[test]
fn a_browser_that_is_signed_in_needs_no_password_and_what_was_allowed_is_not_asked_again() {
    let world = World::new();
    let mut browser = world.browser();
    let consent = browser.sign_in(&world.url(&[]), "alice");
    assert!(browser.send(&consent, &[("decision", "allow")]).parameter("code").is_some());
    assert!(browser.get(&world.url(&[])).parameter("code").is_some());
    assert!(browser.get(&world.url(&[("prompt", "none")])).parameter("code").is_some());

    let more = [("scope", "openid things:write")];
    assert!(browser.get(&world.url(&more)).html.contains("id=\"allow\""));
    let unseen = browser.get(&world.url(&[more[0], ("prompt", "none")]));
    assert_eq!(unseen.parameter("error").as_deref(), Some("consent_required"));
    assert!(browser.get(&world.url(&[("prompt", "consent")])).html.contains("id=\"allow\""));
    let stranger = world.browser().get(&world.url(&[("prompt", "none")]));
    assert_eq!(stranger.parameter("error").as_deref(), Some("login_required"));
    assert_eq!(world.sign_in(&[("prompt", "none")]).parameter("error"), Some("login_required"));
}

#[test]
fn a_prompt_for_login_and_an_old_session_ask_for_the_password_again() {
    let world = World::new();
    let mut browser = world.browser();
    let consent = browser.sign_in(&world.url(&[]), "alice");
    let first = browser.send(&consent, &[("decision", "allow")]).parameter("code").unwrap();
    let sid = |code: &str| part(&world.exchange(code, &[]).1["id_token"], 1)["sid"].clone();
    let sid_before = sid(&first);
    world.advance(100);
    assert!(browser.get(&world.url(&[("max_age", "100")])).parameter("code").is_some());
    for more in [("max_age", "99"), ("max_age", "0"), ("prompt", "login")] {
        assert!(browser.get(&world.url(&[more])).html.contains("id=\"sign-in\""), "{more:?}");
        let unseen = browser.get(&world.url(&[("max_age", "0"), ("prompt", "none")]));
        assert_eq!(unseen.parameter("error").as_deref(), Some("login_required"));
    }
    let back = browser.sign_in(&world.url(&[("max_age", "99")]), "alice");
    let body = world.exchange(&back.parameter("code").unwrap(), &[]).1;
    assert_eq!(part(&body["id_token"], 1)["auth_time"].as_i64(), Some(NOW + 100));
    assert_eq!(part(&body["id_token"], 1)["sid"], sid_before, "the session goes on");
}

#[test]
fn a_client_that_expects_somebody_else_has_them_sign_in() {
    let world = World::new();
    let mut browser = world.browser();
    let consent = browser.sign_in(&world.url(&[]), "alice");
    let code = browser.send(&consent, &[("decision", "allow")]).parameter("code").unwrap();
    let alice = text(&world.exchange(&code, &[]).1["id_token"]).to_owned();
    let bob = world.issuer.sign_in(&world.url(&[]), "bob");
    let bob = text(&world.exchange(bob.parameter("code").unwrap(), &[]).1["id_token"]).to_owned();
    let mut unseen = |hint: &str| {
        let shown = browser.get(&world.url(&[("prompt", "none"), ("id_token_hint", hint)]));
        shown.parameter("error").unwrap_or_default()
    };
    assert_eq!(unseen(&alice), "");
    assert_eq!(unseen(&bob), "login_required");
    assert_eq!(unseen("nonsense"), "login_required");
}

#[test]
fn a_person_may_sign_in_as_somebody_else() {
    let world = World::new();
    let mut browser = world.browser();
    let consent = browser.sign_in(&world.url(&[]), "alice");
    let login = browser.send(&consent, &[("decision", "switch")]);
    assert!(login.html.contains("id=\"sign-in\"") && !login.html.contains("role=\"alert\""));
    let consent = browser.send(&login, &[("login", "bob")]);
    let code = browser.send(&consent, &[("decision", "allow")]).parameter("code").unwrap();
    assert_eq!(part(&world.exchange(&code, &[]).1["id_token"], 1)["sub"], "bob");
}

#[test]
fn a_page_is_for_the_browser_that_got_it_and_for_ten_minutes() {
    let world = World::new();
    let (mut browser, mut other) = (world.browser(), world.browser());
    let page = browser.get(&world.url(&[]));
    other.get(&world.url(&[]));
    let fields = [("login", "mallory"), ("password", "x")];
    assert_eq!(other.send(&page, &fields).status, 400, "another browser");
    assert_eq!(world.browser().send(&page, &fields).status, 400, "no browser at all");
    let url = world.issuer.authorization_endpoint();
    assert_eq!(browser.post(&url, &[("transaction", "guessed"), ("login", "mallory")]).status, 400);

    let before = browser.cookie.clone();
    let consent = browser.send(&page, &[("login", "alice")]);
    assert_ne!(browser.cookie, before, "whoever has put a cookie there is not signed in");
    other.cookie = before;
    assert_eq!(other.send(&consent, &[("decision", "allow")]).status, 400);
    world.advance(600);
    assert_eq!(browser.send(&consent, &[("decision", "allow")]).status, 400, "too old");
}

#[test]
fn nothing_is_allowed_before_somebody_has_signed_in() {
    let world = World::new();
    let mut browser = world.browser();
    let page = browser.get(&world.url(&[]));
    let shown = browser.send(&page, &[("decision", "allow")]);
    assert_eq!((shown.status, shown.location), (200, None));
    assert!(shown.html.contains("id=\"sign-in\"") && shown.html.contains("role=\"alert\""));
    let long = "x".repeat(256);
    assert!(browser.send(&page, &[("login", &*long)]).html.contains("role=\"alert\""));
    assert!(browser.send(&page, &[("login", "  ")]).html.contains("role=\"alert\""));
    assert!(browser.send(&page, &[("login", &long[1..])]).html.contains("id=\"allow\""));
}

#[test]
fn hostile_names_stay_text_on_every_page() {
    const HOSTILE: &str = "\"'><script>alert(1)</script>&amp;";
    let world = World::new();
    let client = TestClient::public(HOSTILE).redirect_uri(CALLBACK);
    world.issuer.register_client(client);
    let url = world.url(&[("client_id", HOSTILE), ("scope", HOSTILE), ("login_hint", HOSTILE), ("state", HOSTILE)]);
    let mut browser = world.browser();
    let login = browser.get(&url);
    let consent = browser.send(&login, &[("login", HOSTILE)]);
    let form_post = browser.send(&consent, &[("decision", "allow")]);
    assert_eq!(form_post.parameter("state").as_deref(), Some(HOSTILE));
    let as_form =
        world.url(&[("client_id", HOSTILE), ("state", HOSTILE), ("response_mode", "form_post"), ("prompt", "none")]);
    let as_form = world.browser().get(&as_form);
    for shown in [&login, &consent, &as_form] {
        assert!(!shown.html.contains("<script>alert") && !shown.html.contains("\"'>"), "{}", shown.html);
        assert!(shown.html.contains("&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;"), "{}", shown.html);
    }
}

#[test]
fn pages_run_no_script_but_the_one_that_posts_itself() {
    let world = World::new();
    let mut browser = world.browser();
    let login = browser.get(&world.url(&[]));
    for there in
        ["default-src 'none'", "style-src 'sha256-", "form-action 'self' https://web.test;", "frame-ancestors 'none'"]
    {
        assert!(login.policy.contains(there), "{there} in {}", login.policy);
    }
    assert!(!login.policy.contains("script-src") && !login.policy.contains("unsafe"));
    let style = between(&login.html, "<style>", "</style>");
    let hash = |text: &str| STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()));
    assert!(login.policy.contains(&hash(style)));

    let url = world.url(&[("response_mode", "form_post")]);
    let consent = browser.sign_in(&url, "alice");
    let posts = browser.send(&consent, &[("decision", "allow")]);
    assert!(
        posts.policy.contains(&format!("script-src 'sha256-{}'", hash(between(&posts.html, "<script>", "</script>"))))
    );
    assert!(posts.html.contains("id=\"continue\""), "for browsers without script");
    assert_eq!(between(&posts.html, "action=\"", "\""), CALLBACK);
    let code = between(&posts.html, "name=\"code\" value=\"", "\"");
    assert!(posts.html.contains("name=\"state\" value=\"state-1\"") && posts.html.contains("name=\"iss\""));
    assert_eq!(world.exchange(code, &[]).0, 200);
}

#[test]
fn a_response_as_a_form_is_told_as_one_by_the_shortcut() {
    let world = World::new();
    let back = world.sign_in(&[("response_mode", "form_post")]);
    let (uri, body) = back.form();
    assert_eq!((back.response_mode(), uri.as_str()), ("form_post", CALLBACK));
    assert_eq!(back.url(), format!("{uri}?{body}"));
    let mut pairs = form_urlencoded::parse(body.as_bytes());
    let code = pairs.find(|(name, _)| name == "code").unwrap().1.into_owned();
    assert_eq!(world.exchange(&code, &[]).0, 200);
    assert_eq!(world.issuer.deny(&world.url(&[("response_mode", "form_post")])).response_mode(), "form_post");
}

#[test]
fn a_request_may_come_as_a_form() {
    let world = World::new();
    let url = world.url(&[]);
    let (endpoint, query) = url.split_once('?').unwrap();
    let fields: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert!(world.browser().post(endpoint, &fields).html.contains("id=\"sign-in\""));
}
