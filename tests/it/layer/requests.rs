//! The rows of attack-cases.md about requests, as data: every stack is sent the same ones.

use super::*;

/// A request and what must become of it.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) fields: Vec<(&'static str, Vec<u8>)>,
    pub(super) body: String,
    pub(super) status: u16,
}

impl Row {
    fn new(name: impl Into<String>, status: u16) -> Self {
        let (target, body) = ("/things".to_owned(), String::new());
        Self { name: name.into(), method: Method::GET, target, fields: Vec::new(), body, status }
    }

    fn field(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    fn authorization(self, value: impl Into<Vec<u8>>) -> Self {
        self.field("authorization", value)
    }

    /// The request, with a body that the stack makes of text.
    pub(super) fn request<B>(&self, body: impl FnOnce(String) -> B) -> Request<B> {
        let mut request = Request::builder().method(&self.method).uri(&self.target);
        for (name, value) in &self.fields {
            request = request.header(*name, &value[..]);
        }
        request.body(body(self.body.clone())).unwrap()
    }
}

pub(super) fn rows(world: &World) -> Vec<Row> {
    let good = world.token().subject("c4n4ry").mint();
    let bad = world.token().subject("c4n4ry").tampered().mint();
    let mut rows = vec![Row::new("R01 no Authorization field", 401)];

    rows.push(Row::new("R02 the scheme alone", 400).authorization("Bearer"));
    rows.push(Row::new("R02 the scheme and a space", 400).authorization("Bearer "));
    rows.push(Row::new("R02 the scheme and spaces", 400).authorization("Bearer    "));
    rows.push(Row::new("R02 an empty field", 401).authorization(""));
    rows.push(Row::new("R02 a tab", 400).authorization(format!("Bearer\t{good}")));
    rows.push(Row::new("R02 a comma", 400).authorization(format!("Bearer,{good}")));
    rows.push(Row::new("R02 a parameter", 400).authorization(format!("Bearer token=\"{good}\"")));
    rows.push(Row::new("R02 quotes", 400).authorization(format!("Bearer \"{good}\"")));
    rows.push(Row::new("R02 two tokens", 400).authorization(format!("Bearer {good} {good}")));

    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  ", "Bearer      "] {
        let field = format!("{scheme} {good}");
        rows.push(Row::new(format!("R03 control {scheme:?}"), 200).authorization(field));
    }

    for (name, one, two) in [
        ("good, bad", format!("Bearer {good}"), format!("Bearer {bad}")),
        ("bad, good", format!("Bearer {bad}"), format!("Bearer {good}")),
        ("good twice", format!("Bearer {good}"), format!("Bearer {good}")),
        ("good, Basic", format!("Bearer {good}"), "Basic dTpw".to_owned()),
        ("Basic, good", "Basic dTpw".to_owned(), format!("Bearer {good}")),
        ("Basic twice", "Basic dTpw".to_owned(), "Basic dTpw".to_owned()),
        ("good, empty", format!("Bearer {good}"), String::new()),
    ] {
        rows.push(Row::new(format!("R04 {name}"), 400).authorization(one.clone()).authorization(two.clone()));
        let joined = format!("{one}, {two}");
        let status = if joined.starts_with("Bearer") { 400 } else { 401 };
        rows.push(Row::new(format!("R04 {name}, in one field"), status).authorization(joined));
    }

    for field in [
        format!("Basic {good}"),
        "Basic dXNlcjpwYXNzd29yZA==".to_owned(),
        format!("DPoP {good}"),
        format!("Token {good}"),
        format!("Bearer:{good}"),
        format!("Bearer{good}"),
        format!("OAuth {good}"),
        format!("\"Bearer\" {good}"),
        good.clone(),
    ] {
        // `:` and `"` are no characters of a scheme: one stands where a space should, the other where a scheme should.
        let status = if field.starts_with("Bearer:") || field.starts_with('"') { 400 } else { 401 };
        rows.push(Row::new(format!("R07 {}", &field[..8]), status).authorization(field));
    }

    let mut query = Row::new("R08 a token in the query", 401);
    query.target = format!("/things?access_token={good}");
    rows.push(query);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let mut body = Row::new("R08 a token in a form", 401).field(form.0, form.1);
    (body.method, body.body) = (Method::POST, format!("access_token={good}"));
    rows.push(body);
    rows.push(Row::new("R08 a token in a cookie", 401).field("cookie", format!("access_token={good}")));
    for name in
        ["x-access-token", "x-forwarded-access-token", "proxy-authorization", "authentication", "x-authorization"]
    {
        rows.push(Row::new(format!("R08 a token in {name}"), 401).field(name, format!("Bearer {good}")));
    }

    for byte in [0x80_u8, 0x9F, 0xA0, 0xC3, 0xFF] {
        let mut token = format!("Bearer {good}").into_bytes();
        token.push(byte);
        rows.push(Row::new(format!("R11 the byte {byte:#X} after the token"), 400).authorization(token));
        let scheme = [b"Bearer", &[byte][..], b" ", good.as_bytes()].concat();
        rows.push(Row::new(format!("R11 the byte {byte:#X} after the scheme"), 400).authorization(scheme));
    }
    rows.push(Row::new("R11 64 KiB", 401).authorization(format!("Bearer {}", "a".repeat(65_536))));
    rows.push(Row::new("R11 64 KiB of no token", 401).authorization([b"Bearer ", &[0xFF; 65_536][..]].concat()));
    rows.push(Row::new("R11 64 KiB of scheme", 401).authorization("a".repeat(65_536)));

    for name in ["x-forwarded-uri", "x-original-url", "x-original-uri", "x-rewrite-url", "x-forwarded-prefix"] {
        rows.push(Row::new(format!("R14 {name}"), 401).field(name, "/public"));
    }
    rows.push(Row::new("R14 another method by a field", 401).field("x-http-method-override", "OPTIONS"));

    rows.push(
        Row::new("R15 a preflight", 401)
            .field("origin", "https://app.example.test")
            .field("access-control-request-method", "POST"),
    );
    if let Some(preflight) = rows.last_mut() {
        preflight.method = Method::OPTIONS;
    }
    rows
}

#[test]
fn every_row_is_answered_by_the_layer_alone() {
    let world = World::new();
    let read = world.read();
    for row in rows(&world) {
        let before = world.inner.calls();
        let service = read.layer(world.inner.clone());
        let response = block_on(service.oneshot(row.request(|body| body))).unwrap();
        Seen::new(response, world.inner.calls().abs_diff(before)).is(row.status, &row.name);
    }
}

#[test]
fn r01_r25_the_challenge_to_who_presented_nothing_names_the_metadata_and_no_error() {
    const URL: &str = "https://api.example.test/.well-known/oauth-protected-resource";
    let world = World::new();
    let challenge = |world: &World| world.send(&world.read(), get(&[])).challenge().unwrap().to_owned();
    assert_eq!(challenge(&world), format!(r#"Bearer realm="{API}", scope="read""#), "R01");
    let keys = KeySet::from_json(world.issuer.jwks().as_bytes()).unwrap();
    let builder = Validator::builder(API).trust(Issuer::keys(A, keys)).resource_metadata(URL);
    let world = World { validator: builder.clock(world.clock.clone()).build().unwrap(), ..world };
    let named = format!(r#"Bearer realm="{API}", scope="read", resource_metadata="{URL}""#);
    assert_eq!(challenge(&world), named, "R25 no comma after the scheme, one challenge, each parameter once");
}

#[test]
fn r22_r23_what_a_token_says_changes_no_byte_of_the_answer() {
    let world = World::new();
    let seen = |token: TestToken| {
        let seen = world.send(&world.read(), bearer(token));
        seen.is(401, "R22");
        (seen.headers, seen.body)
    };
    let plain = seen(world.token().expired());
    for hostile in ["c4n4ry\"", "c4n4ry\\", "c4n4ry\r\nX-Evil: 1", "c4n4ry\u{e9}", "c4n4ry\0"] {
        for (place, token) in [
            ("kid", world.token().header("kid", hostile)),
            ("iss", world.token().claim("iss", hostile)),
            ("sub", world.token().subject(hostile).expired()),
            ("scope", world.token().scope(hostile).expired()),
        ] {
            assert_eq!(seen(token), plain, "R22 R23 {place} {hostile:?}");
        }
    }
}
