//! What the userinfo endpoint says of a user (OpenID Connect Core 1.0 s5.3).

use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::client::error::{OAuthError, Stage, refused};
use crate::client::id_token::{Unproven, is_of_another_kind, verify};
use crate::jose::json::{self, Duplicates, Value};
use crate::token::ClaimsError;
use crate::validator::Validator;
use crate::wire::fetch::FetchError;

/// What the userinfo endpoint says of a user. It is about the very user who has logged in.
#[derive(Clone)]
pub struct UserInfo {
    subject: String,
    json: String,
}

const LIMITS: json::Limits = json::Limits { depth: 16, members: 1024, duplicates: Duplicates::Refused };

impl UserInfo {
    /// The user (`sub`).
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The claims as JSON.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Reads the claims into a type of yours.
    ///
    /// # Errors
    /// [`ClaimsError`] if they do not fit the type.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, ClaimsError> {
        serde_json::from_str(&self.json).map_err(|fault| ClaimsError::of(&fault))
    }

    /// Reads an answer, which must be about this user (rule of s5.3.2); a signed one is verified first.
    pub(crate) async fn read(
        response: Response<Bytes>,
        judge: Option<&Validator>,
        subject: Option<&str>,
    ) -> Result<Self, OAuthError> {
        let invalid = |problem| OAuthError::InvalidUserInfo { problem };
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => return Err(refused(Stage::UserInfo, "invalid_token", None)),
            StatusCode::FORBIDDEN => return Err(refused(Stage::UserInfo, "insufficient_scope", None)),
            // Not now, and perhaps later.
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(FetchError::Status { status, retry_after: None }.into());
            }
            _ => return Err(invalid("the answer is no success")),
        }
        let kind = response.headers().get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
        let kind = std::str::from_utf8(kind).unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let json = if kind.eq_ignore_ascii_case("application/json") {
            std::str::from_utf8(response.body()).map_err(|_| invalid("the answer is not UTF-8"))?.to_owned()
        } else if kind.eq_ignore_ascii_case("application/jwt") {
            let judge = judge.ok_or_else(|| invalid("the answer is signed, and no keys are known to verify it"))?;
            let jwt = std::str::from_utf8(response.body()).map_err(|_| invalid("the answer is no JWT"))?;
            let jwt = jwt.trim();
            let token = verify(judge, jwt).await.map_err(|unproven| match unproven {
                Unproven::Bad(_) => invalid("the signed answer is not a good JWT of the issuer for this client"),
                Unproven::NotJudged(error) => error.into(),
            })?;
            if is_of_another_kind(jwt, &token) {
                return Err(invalid("the signed answer is a JWT of another kind"));
            }
            token.stated().payload().to_owned()
        } else {
            return Err(invalid("the answer is neither JSON nor a JWT"));
        };
        let mut said = None;
        json::object(json.as_bytes(), LIMITS, |name, value| {
            if let ("sub", Value::String(text)) = (name, value) {
                said = Some(text.decoded().into_owned());
            }
        })
        .map_err(|_| invalid("the answer is not one strict JSON object"))?;
        let said = said
            .filter(|said| !said.is_empty())
            .ok_or_else(|| invalid("the answer does not say who it is about (sub)"))?;
        if subject.is_some_and(|subject| subject != said) {
            return Err(invalid("the answer is about another user (sub)"));
        }
        Ok(Self { subject: said, json })
    }
}

impl fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserInfo(..)")
    }
}
