//! Logging a user in (RFC 6749 s4.1, OpenID Connect Core 1.0 s3.1).

use std::time::Duration;

use http::HeaderValue;

use crate::client::authorization::{ACR_VALUES, AuthorizationRequest, ResponseMode};
use crate::client::callback::Callback;
use crate::client::error::{LoginError, OAuthError, Stage, refused};
use crate::client::exchange::{Form, get, member, post};
use crate::client::id_token::{Expected, IdToken, judge};
use crate::client::redirect::{Login, Redirect};
use crate::client::registered::{Client, asks_for_openid};
use crate::client::registration::PushedRequests;
use crate::client::server::{At, endpoint, needed};
use crate::client::state::{self, CookieRules, Kind, Record, unguessable};
use crate::client::token_set::TokenSet;
use crate::client::userinfo::UserInfo;
use crate::endpoint::Endpoint;
use crate::jose::base64url;
use crate::jose::crypto::sha256;
use crate::jose::json::{self, Duplicates, Value};
use crate::metadata::login::LoginMetadata;

impl Client {
    /// Begins a login: where to send the browser, and what it is to keep.
    ///
    /// PKCE with S256 is always used (RFC 7636), and a nonce whenever `openid` is asked for. Where the server has an endpoint for pushed
    /// requests, what is asked goes there and not through the browser: see
    /// [`Registration::pushed_requests`](crate::client::Registration::pushed_requests).
    ///
    /// # Errors
    /// [`OAuthError::InvalidRequest`] for a redirect URI that is none, or what else cannot be asked; [`OAuthError::Unreachable`] if the
    /// server's metadata, or its endpoint for pushed requests, cannot be had; [`OAuthError::Refused`] if that says no;
    /// [`OAuthError::Store`] if the [`StateStore`](crate::client::StateStore) fails.
    pub async fn authorize_redirect(&self, request: impl Into<AuthorizationRequest>) -> Result<Redirect, OAuthError> {
        let request = request.into();
        request.check()?;
        let settings = &self.0.settings;
        let redirect_uri = Endpoint::new(&request.redirect_uri, settings.plain_http)
            .map_err(|_| OAuthError::InvalidRequest { problem: "the redirect URI is not a URL that may be used" })?;
        let metadata = self.metadata().await?;
        let lacks = "the server has no authorization endpoint";
        let authorization = needed(settings, &metadata, At::Authorization, lacks)?;
        if metadata.takes_s256 == Some(false) && !settings.is_without_pkce {
            return Err(OAuthError::Unsupported { problem: "the server does not take PKCE with S256" });
        }
        let scope = request.scope.as_deref().unwrap_or(&settings.scope);
        let is_openid = asks_for_openid(scope);
        if is_openid && self.0.judge.is_none() {
            let problem = "an ID token is asked for, and the settings do not say whose";
            return Err(OAuthError::InvalidRequest { problem });
        }
        if !is_openid && (request.max_age.is_some() || request.acr.is_some()) {
            let problem = "max_age and require_acr are held by the ID token, and openid is not asked for";
            return Err(OAuthError::InvalidRequest { problem });
        }
        let nonce = is_openid.then(unguessable).transpose()?;
        let code_verifier = (!settings.is_without_pkce).then(unguessable).transpose()?;
        let rules = CookieRules {
            secure: redirect_uri.uri().scheme_str() == Some("https"),
            cross_site: request.response_mode == ResponseMode::FormPost,
        };
        let record = Record {
            nonce,
            code_verifier,
            scope: (!scope.is_empty()).then(|| scope.to_owned()),
            resources: request.resources.clone(),
            max_age: request.max_age.map(|age| age.as_secs()),
            acr: request.acr.clone().unwrap_or_default(),
            return_to: request.return_to.clone(),
            ..Record::new(Kind::Login, &self.0.registered, &request.redirect_uri)
        };
        let params = self.authorization_params(&request, &record);
        let now = settings.clock.now();
        let begun = state::begin(&*settings.states, rules, settings.login_time, now, record).await?;
        let params = params.into_iter().chain([member("state", begun.state.clone())]).collect();
        let query = self.hand_over(&metadata, params).await?;
        Redirect::new(&with_query(&authorization, &query), vec![begun.cookie])
    }

    /// Completes a login: takes what the browser brought back, exchanges the code, and verifies who the user is.
    ///
    /// The login is over by then, whatever comes of it. Put the [cookies](Login::cookies) of the result into the answer to the browser, those
    /// of an error too.
    ///
    /// # Errors
    /// [`LoginError`] says why there is no login: see [`OAuthError`] for what it may be.
    pub async fn callback(&self, callback: &Callback) -> Result<Login, LoginError> {
        let (begun, cookies) = self.begun(Kind::Login, callback).await;
        let completed = match begun {
            Ok(record) => self.complete(callback, record).await,
            Err(error) => Err(error),
        };
        match completed {
            Ok((token, user, return_to)) => Ok(Login { token, user, return_to, cookies }),
            Err(error) => Err(LoginError::new(error, cookies)),
        }
    }

    /// What the browser has come back from, and what ends it there. It is over by then, also where the answer does not count.
    pub(super) async fn begun(
        &self,
        kind: Kind,
        callback: &Callback,
    ) -> (Result<Record, OAuthError>, Vec<HeaderValue>) {
        let settings = &self.0.settings;
        let (states, now) = (&*settings.states, settings.clock.now());
        let (begun, cookies) = match callback.param("state") {
            Some(state) => {
                let begun = state::finish(states, kind, &self.0.registered, state, callback.cookies(), now).await;
                (begun, state::forget(state))
            }
            None => (Err(OAuthError::MismatchingState), Vec::new()),
        };
        (callback.check().and(begun), cookies)
    }

    async fn complete(
        &self,
        callback: &Callback,
        record: Record,
    ) -> Result<(TokenSet, Option<IdToken>, Option<String>), OAuthError> {
        // Errors are answers too: of this server, or of nobody (RFC 9207 s2.4).
        let metadata = self.metadata().await?;
        self.check_issuer(callback, &metadata)?;
        if let Some(error) = callback.param("error") {
            return Err(refused(Stage::Authorization, error, callback.param("error_description")));
        }
        let code = callback.param("code").ok_or(OAuthError::MissingCode)?;
        let mut members = vec![
            member("grant_type", "authorization_code"),
            member("code", code),
            member("redirect_uri", record.redirect_uri.as_str()),
        ];
        members.extend(record.code_verifier.as_deref().map(|verifier| member("code_verifier", verifier)));
        members.extend(record.resources.iter().map(|resource| member("resource", resource.as_str())));
        let mut token = self.request_token(members, record.scope.as_deref()).await?;
        token.resources.clone_from(&record.resources);
        let user = self.user_of(&mut token, code, &record).await?;
        Ok((token, user, record.return_to))
    }

    /// Who has logged in. What is not verified is not handed out.
    async fn user_of(&self, token: &mut TokenSet, code: &str, record: &Record) -> Result<Option<IdToken>, OAuthError> {
        let settings = &self.0.settings;
        // Where none was asked for, nothing would tell it from one of another login.
        let (Some(by), Some(nonce)) = (&self.0.judge, record.nonce.as_deref()) else {
            token.id_token = None;
            return Ok(None);
        };
        let problem = "the answer has no id_token, though openid was asked for";
        let jwt = token.id_token.as_deref().ok_or(OAuthError::InvalidAnswer { problem })?;
        let expected = Expected {
            client_id: &settings.client_id,
            audiences: &settings.audiences,
            nonce: Some(nonce),
            access_token: Some(token.access_token()),
            code: Some(code),
            max_age: record.max_age.map(Duration::from_secs),
            acr: &record.acr,
            leeway: settings.leeway,
            now: settings.clock.now(),
        };
        let user = judge(by, jwt, &expected).await?;
        token.subject = Some(user.subject().to_owned());
        Ok(Some(user))
    }

    /// What the userinfo endpoint says of the user whose token it is. It must be about the one that the ID token names.
    ///
    /// # Errors
    /// [`OAuthError::InvalidUserInfo`] if it is about somebody else or cannot be believed, [`OAuthError::Refused`] if the token is not
    /// accepted, [`OAuthError::Unsupported`] if the server has no such endpoint, [`OAuthError::InvalidRequest`] for tokens of another client,
    /// [`OAuthError::Unreachable`].
    pub async fn userinfo(&self, token: &TokenSet) -> Result<UserInfo, OAuthError> {
        self.check_own(token)?;
        let settings = &self.0.settings;
        let metadata = self.metadata().await?;
        let endpoint = needed(settings, &metadata, At::UserInfo, "the server has no userinfo endpoint")?;
        let response = get(settings, &self.0.worker, &endpoint, token.access_token()).await?;
        UserInfo::read(response, self.0.judge.as_ref(), token.subject()).await
    }

    /// RFC 9207 s2.4: an answer names the server that was asked, and must where that says that it does.
    fn check_issuer(&self, callback: &Callback, metadata: &LoginMetadata) -> Result<(), OAuthError> {
        let mismatch = |problem| Err(OAuthError::MismatchingIssuer { problem });
        match (callback.param("iss"), self.0.settings.issuer.as_deref()) {
            (Some(named), Some(ours)) if named == ours => Ok(()),
            (Some(_), Some(_)) => mismatch("the answer is of another server than the one that was asked"),
            (None, _) if metadata.names_itself_in_responses => {
                mismatch("the answer does not say which server it is of")
            }
            // Without an identifier of ours there is nothing to compare; the redirect URI tells servers apart.
            (Some(_), None) | (None, _) => Ok(()),
        }
    }

    /// In the order in which they are documented.
    fn authorization_params(&self, request: &AuthorizationRequest, record: &Record) -> Form {
        let settings = &self.0.settings;
        let mut params = vec![
            member("response_type", "code"),
            member("client_id", &*settings.client_id),
            member("redirect_uri", record.redirect_uri.as_str()),
        ];
        params.extend(record.scope.as_deref().map(|scope| member("scope", scope)));
        params.extend(record.nonce.as_deref().map(|nonce| member("nonce", nonce)));
        if let Some(verifier) = &record.code_verifier {
            params.push(member("code_challenge", base64url::encode(&sha256(verifier.as_bytes()))));
            params.push(member("code_challenge_method", "S256"));
        }
        if request.response_mode == ResponseMode::FormPost {
            params.push(member("response_mode", "form_post"));
        }
        params.extend(record.max_age.map(|age| member("max_age", age.to_string())));
        if !record.acr.is_empty() {
            params.push(member(ACR_VALUES, record.acr.join(" ")));
        }
        params.extend(record.resources.iter().map(|resource| member("resource", resource.as_str())));
        // What this login says stands against what the registration does.
        let demands_acr = !record.acr.is_empty();
        let is_set =
            |name: &str| request.params.iter().any(|(set, _)| set == name) || (demands_acr && name == ACR_VALUES);
        let usual = settings.authorize_params.iter().filter(|(name, _)| !is_set(name));
        params.extend(usual.chain(&request.params).map(|(name, value)| member(name, value.as_str())));
        params
    }

    /// The query for the browser: all of it, or the name under which the server knows it already (RFC 9126 s4).
    async fn hand_over(&self, metadata: &LoginMetadata, params: Form) -> Result<Form, OAuthError> {
        let settings = &self.0.settings;
        if settings.pushed == PushedRequests::WhereDemanded && !metadata.demands_pushed_requests {
            return Ok(params);
        }
        let pushed = match endpoint(settings, metadata, At::PushedRequest)? {
            None if settings.pushed == PushedRequests::Always || metadata.demands_pushed_requests => {
                return Err(OAuthError::Unsupported { problem: "the server has no endpoint for pushed requests" });
            }
            pushed => pushed,
        };
        let Some(endpoint) = pushed else { return Ok(params) };
        // The proof of the client names it already, or has it in a header (RFC 9126 s2.1).
        let answer = post(settings, &self.0.worker, endpoint, Stage::PushedRequest, params).await?;
        let mut name = None;
        json::object(&answer, PUSHED_LIMITS, |member, value| {
            if let ("request_uri", Value::String(text)) = (member, value) {
                name = Some(text.decoded().into_owned());
            }
        })
        .map_err(|_| OAuthError::InvalidAnswer { problem: "the answer to a pushed request is not a JSON object" })?;
        let problem = "the answer to a pushed request has no request_uri (RFC 9126 s2.2)";
        let name = name.filter(|name| !name.is_empty()).ok_or(OAuthError::InvalidAnswer { problem })?;
        Ok(vec![member("client_id", &*settings.client_id), member("request_uri", name)])
    }
}

const PUSHED_LIMITS: json::Limits = json::Limits { depth: 8, members: 64, duplicates: Duplicates::Refused };

/// The address with these members behind those that it has already (RFC 6749 s3.1).
pub(crate) fn with_query(address: &Endpoint, params: &Form) -> String {
    let mut url = address.uri().to_string();
    let mut mark = if url.contains('?') { '&' } else { '?' };
    for (name, value) in params {
        url.push(mark);
        url.extend(form_urlencoded::byte_serialize(name.as_bytes()));
        url.push('=');
        url.extend(form_urlencoded::byte_serialize(value.as_bytes()));
        mark = '&';
    }
    url
}
