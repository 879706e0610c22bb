//! An authorization request (RFC 6749 s4.1.1, OpenID Connect Core 1.0 s3.1.2.1).

use serde_json::Value;

use super::client::TestClient;
use super::form::Form;
use super::redirect::{Mode, TestRedirect};
use super::settings::{Pkce, Settings};

/// A request that can be granted, once somebody has signed in.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) client: TestClient,
    pub(super) redirect_uri: String,
    mode: Mode,
    state: Option<String>,
    /// Names with spaces between them; empty if none was asked for.
    pub(super) scope: String,
    pub(super) nonce: Option<String>,
    /// The S256 challenge (RFC 7636 s4.2).
    pub(super) challenge: Option<String>,
    /// RFC 8707 s2.
    pub(super) resources: Vec<String>,
    pub(super) claims: Claims,
    pub(super) max_age: Option<i64>,
    pub(super) prompt: Vec<String>,
    pub(super) login_hint: Option<String>,
    pub(super) acr: Option<String>,
    pub(super) id_token_hint: Option<String>,
}

/// The claims that were asked for by name (OpenID Connect Core 1.0 s5.5).
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    pub(super) id_token: Vec<String>,
    pub(super) userinfo: Vec<String>,
}

/// Why a request is not granted.
#[derive(Clone, Debug)]
pub(super) enum Problem {
    /// Nobody knows whether the address is the client's, so the browser is not sent there (RFC 6749 s4.1.2.1).
    Page(&'static str),
    /// An error for the client.
    Redirect(TestRedirect),
}

impl Asked {
    /// Reads a request of a client that is known.
    ///
    /// The order is that of RFC 6749 s4.1.2.1: nothing is sent to an address before it is known to be the client's.
    pub(super) fn read(form: &Form, client: &TestClient, settings: Settings) -> Result<Self, Problem> {
        let Some(redirect_uri) = form.one("redirect_uri") else {
            return Err(Problem::Page("The request names no redirect_uri."));
        };
        if !client.redirect_uris.iter().any(|known| known == redirect_uri) {
            return Err(Problem::Page("The redirect_uri is not registered for this client."));
        }
        let (mode, is_known_mode) = match form.one("response_mode") {
            None | Some("query") => (Mode::Query, true),
            Some("form_post") => (Mode::FormPost, true),
            Some(_) => (Mode::Query, false),
        };
        let asked = Self {
            client: client.clone(),
            redirect_uri: redirect_uri.to_owned(),
            mode,
            state: form.one("state").map(str::to_owned),
            scope: form.one("scope").unwrap_or_default().to_owned(),
            nonce: form.one("nonce").map(str::to_owned),
            challenge: form.one("code_challenge").map(str::to_owned),
            resources: form.all("resource").map(str::to_owned).collect(),
            claims: Claims::default(),
            max_age: None,
            prompt: form.one("prompt").unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect(),
            login_hint: form.one("login_hint").map(str::to_owned),
            acr: None,
            id_token_hint: form.one("id_token_hint").map(str::to_owned),
        };
        if !is_known_mode {
            return Err(asked.refused("invalid_request", "response_mode is query or form_post"));
        }
        asked.judged(form, settings)
    }

    fn judged(mut self, form: &Form, settings: Settings) -> Result<Self, Problem> {
        let invalid = "invalid_request";
        let problem = if form.repeats_itself() {
            Some((invalid, "a parameter is there twice"))
        } else if form.one("request").is_some() {
            Some(("request_not_supported", "request objects are not supported"))
        } else if form.one("request_uri").is_some() {
            Some(("request_uri_not_supported", "request_uri takes pushed requests alone"))
        } else if form.one("response_type").is_none() {
            Some((invalid, "response_type is missing"))
        } else if form.one("response_type") != Some("code") {
            Some(("unsupported_response_type", "response_type is code"))
        } else {
            self.problem_of_pkce(form, settings)
                .or_else(|| self.problem_of_prompt())
                .or_else(|| self.problem_of_resources())
        };
        if let Some((error, description)) = problem {
            return Err(self.refused(error, description));
        }
        match form.one("max_age").map(str::parse::<u32>) {
            None => {}
            Some(Ok(seconds)) => self.max_age = Some(seconds.into()),
            Some(Err(_)) => return Err(self.refused(invalid, "max_age is a number of seconds")),
        }
        let claims = match form.one("claims").map(serde_json::from_str::<Value>) {
            None => Value::Null,
            Some(Ok(claims)) if claims.is_object() => claims,
            Some(_) => return Err(self.refused(invalid, "claims is a JSON object")),
        };
        self.acr = form.one("acr_values").and_then(|values| values.split(' ').next()).map(str::to_owned);
        self.acr = self.acr.take().or_else(|| acr_by_name(&claims));
        self.claims = Claims { id_token: names(&claims, "id_token"), userinfo: names(&claims, "userinfo") };
        Ok(self)
    }

    fn problem_of_pkce(&self, form: &Form, settings: Settings) -> Option<(&'static str, &'static str)> {
        let is_s256 = |challenge: &String| {
            // base64url of 32 octets.
            challenge.len() == 43 && challenge.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
        };
        let problem = match (&self.challenge, form.one("code_challenge_method")) {
            (None, None) if settings.pkce == Pkce::Checked => return None,
            (None, _) => "code_challenge is missing",
            // RFC 7636 s4.3: without a method it is plain.
            (Some(_), method) if method != Some("S256") => "code_challenge_method is S256",
            (Some(challenge), _) if !is_s256(challenge) => "code_challenge is not one of S256",
            (Some(_), _) => return None,
        };
        Some(("invalid_request", problem))
    }

    fn problem_of_prompt(&self) -> Option<(&'static str, &'static str)> {
        let is_known = |prompt: &String| ["none", "login", "consent", "select_account"].contains(&prompt.as_str());
        if !self.prompt.iter().all(is_known) {
            Some(("invalid_request", "prompt is none, login, consent or select_account"))
        } else if self.prompts("none") && self.prompt.len() > 1 {
            Some(("invalid_request", "prompt none stands alone"))
        } else {
            None
        }
    }

    fn problem_of_resources(&self) -> Option<(&'static str, &'static str)> {
        let is_absolute = |resource: &String| resource.contains(':') && !resource.contains('#');
        (!self.resources.iter().all(is_absolute))
            .then_some(("invalid_target", "resource is an absolute URI without a fragment"))
    }

    pub(super) fn prompts(&self, prompt: &str) -> bool {
        self.prompt.iter().any(|asked| asked == prompt)
    }

    /// The scopes, each once.
    pub(super) fn scopes(&self) -> Vec<&str> {
        let mut scopes = Vec::new();
        for scope in self.scope.split_ascii_whitespace() {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        scopes
    }

    /// An answer with the request's `state`. Who answers is added to it by whoever knows.
    pub(super) fn answer(&self) -> TestRedirect {
        let answer = TestRedirect::to(self.redirect_uri.clone(), self.mode);
        match &self.state {
            Some(state) => answer.with("state", state),
            None => answer,
        }
    }

    pub(super) fn refusal(&self, error: &str, description: &str) -> TestRedirect {
        self.answer().with("error", error).with("error_description", description)
    }

    fn refused(&self, error: &str, description: &str) -> Problem {
        Problem::Redirect(self.refusal(error, description))
    }
}

/// The names of the claims that are asked for at one place.
fn names(claims: &Value, place: &str) -> Vec<String> {
    let asked = claims.get(place).and_then(Value::as_object);
    asked.map(|asked| asked.keys().cloned().collect()).unwrap_or_default()
}

/// The `acr` that is asked for as a claim (OpenID Connect Core 1.0 s5.5.1.1).
fn acr_by_name(claims: &Value) -> Option<String> {
    let acr = claims.get("id_token")?.get("acr")?;
    let value = acr.get("value").or_else(|| acr.get("values")?.get(0))?;
    value.as_str().map(str::to_owned)
}
