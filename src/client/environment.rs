//! Registrations that are settings: in variables of the environment, or in a document.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::client::authorization::is_scope_list;
use crate::client::registration::Registration;
use crate::client_auth::ClientAuth;
use crate::config_error::ConfigError;
use crate::endpoint::{Endpoint, PlainHttp};

/// A registration as it stands in a settings file of any format that `serde` reads, under the names by which Authlib's `register()` takes it.
///
/// | member | what it is |
/// | --- | --- |
/// | `client_id` | the client's name at the server; the one member that is always needed |
/// | `client_secret` | its secret; without one the client is [public](ClientAuth::public) |
/// | `token_endpoint_auth_method` | how the secret is shown: `client_secret_basic`, which is the default, `client_secret_post`, `client_secret_jwt`; or `none` |
/// | `issuer` | the server's identifier: its metadata says where everything lies ([`Registration::discover`]) |
/// | `server_metadata_url` | the same by the address of the metadata. The issuer is what is left without the well-known part; one whose identifier ends in a slash, as those of Auth0 do, is told by `issuer` |
/// | `authorize_url`, `access_token_url` | the endpoints of a server that publishes no metadata ([`Registration::endpoints`]); beside an issuer they stand against what its metadata says |
/// | `jwks_uri` | where the keys for ID tokens lie; for a server without metadata together with `issuer` ([`Registration::openid`]) |
/// | `userinfo_endpoint` | [`Registration::userinfo_url`] |
/// | `api_base_url` | [`Registration::api_base_url`] |
/// | `scope` | [`Registration::scope`]: names with spaces between |
/// | `authorize_params` | a map of texts: [`Registration::authorize_param`] |
/// | `code_challenge_method` | `S256`, which is used in any case |
///
/// Any other member is an error. A client that has a key or a certificate instead of a secret is registered in code.
///
/// ```
/// use scopegate::client::{Client, Registration, RegistrationDocument};
/// let settings = r#"{
///     "client_id": "app",
///     "client_secret": "s3cret",
///     "server_metadata_url": "https://id.example.com/.well-known/openid-configuration",
///     "scope": "openid profile"
/// }"#;
/// let document: RegistrationDocument = serde_json::from_str(settings)?;
/// assert!(!format!("{document:?}").contains("s3cret"));
/// let client = Client::new("example", Registration::try_from(document)?)?;
/// assert_eq!(client.client_id(), "app");
///
/// let lacking: RegistrationDocument = serde_json::from_str(r#"{"client_id": "app"}"#)?;
/// let error = Registration::try_from(lacking).unwrap_err();
/// assert!(error.to_string().contains("issuer"), "{error}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrationDocument {
    client_id: Option<String>,
    client_secret: Option<String>,
    issuer: Option<String>,
    server_metadata_url: Option<String>,
    authorize_url: Option<String>,
    access_token_url: Option<String>,
    api_base_url: Option<String>,
    scope: Option<String>,
    userinfo_endpoint: Option<String>,
    jwks_uri: Option<String>,
    token_endpoint_auth_method: Option<String>,
    authorize_params: BTreeMap<String, String>,
    code_challenge_method: Option<String>,
}

impl fmt::Debug for RegistrationDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrationDocument")
            .field("client_id", &self.client_id)
            .field("has_client_secret", &self.client_secret.is_some())
            .field("issuer", &self.issuer)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl TryFrom<RegistrationDocument> for Registration {
    type Error = ConfigError;

    /// # Errors
    /// [`ConfigError`] names the member that is missing or cannot be used, and never shows what it says.
    fn try_from(document: RegistrationDocument) -> Result<Self, ConfigError> {
        document.registration(&Place::Document)
    }
}

/// # From the environment
impl Registration {
    /// What stands in the variables of the environment that begin with this name: for `example`, `EXAMPLE_CLIENT_ID` and so on. The name is
    /// written in capitals, with `_` for `-` and for a space.
    ///
    /// They are those of a [`RegistrationDocument`], by the same rules: `{NAME}_CLIENT_ID`, `{NAME}_CLIENT_SECRET`,
    /// `{NAME}_TOKEN_ENDPOINT_AUTH_METHOD`, `{NAME}_ISSUER`, `{NAME}_SERVER_METADATA_URL`, `{NAME}_AUTHORIZE_URL`,
    /// `{NAME}_ACCESS_TOKEN_URL`, `{NAME}_JWKS_URI`, `{NAME}_USERINFO_ENDPOINT`, `{NAME}_API_BASE_URL` and `{NAME}_SCOPE`. Others are not
    /// looked at. What else a client needs is set on what comes back.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable that is missing, empty, or cannot be used, and never shows what it says.
    pub fn from_env(name: &str) -> Result<Self, ConfigError> {
        read(name, "from_env", |variable| match std::env::var_os(variable) {
            Some(value) => value.into_string().map(Some).map_err(|_| "is not Unicode"),
            None => Ok(None),
        })
    }

    /// The same with variables from elsewhere: a settings service, or a map in a test.
    ///
    /// ```
    /// use scopegate::client::{Client, Registration};
    /// let registration = Registration::from_vars("example", |variable| match variable {
    ///     "EXAMPLE_CLIENT_ID" => Some("app".to_owned()),
    ///     "EXAMPLE_CLIENT_SECRET" => Some("s3cret".to_owned()),
    ///     "EXAMPLE_ISSUER" => Some("https://id.example.com".to_owned()),
    ///     _ => None,
    /// })?;
    /// let client = Client::new("example", registration)?;
    /// assert_eq!(client.client_id(), "app");
    ///
    /// let error = Registration::from_vars("example", |_| None).unwrap_err();
    /// assert!(error.to_string().contains("EXAMPLE_CLIENT_ID"), "{error}");
    /// # Ok::<(), scopegate::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_vars(name: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        read(name, "from_vars", |variable| Ok(lookup(variable)))
    }
}

fn read(
    name: &str,
    setting: &'static str,
    lookup: impl Fn(&str) -> Result<Option<String>, &'static str>,
) -> Result<Registration, ConfigError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b' ');
    if name.is_empty() || !name.bytes().all(is_plain) {
        let problem = "a name that variables begin with has letters, digits, `_`, `-` and spaces alone";
        return Err(ConfigError::invalid(setting, name, problem));
    }
    let place = Place::Variables { setting, prefix: name.to_ascii_uppercase().replace(['-', ' '], "_") };
    let var = |member| lookup(&place.named(member)).map_err(|problem| place.fault(member, problem));
    let document = RegistrationDocument {
        client_id: var("client_id")?,
        client_secret: var("client_secret")?,
        issuer: var("issuer")?,
        server_metadata_url: var("server_metadata_url")?,
        authorize_url: var("authorize_url")?,
        access_token_url: var("access_token_url")?,
        api_base_url: var("api_base_url")?,
        scope: var("scope")?,
        userinfo_endpoint: var("userinfo_endpoint")?,
        jwks_uri: var("jwks_uri")?,
        token_endpoint_auth_method: var("token_endpoint_auth_method")?,
        ..RegistrationDocument::default()
    };
    document.registration(&place)
}

/// Where the settings stand, by which errors name them.
enum Place {
    Document,
    Variables { setting: &'static str, prefix: String },
}

impl Place {
    fn named(&self, member: &str) -> String {
        match self {
            Self::Document => member.to_owned(),
            Self::Variables { prefix, .. } => format!("{prefix}_{}", member.to_ascii_uppercase()),
        }
    }

    /// It shows the name and not the value, which could be a secret that was put in the wrong place.
    fn fault(&self, member: &str, problem: &'static str) -> ConfigError {
        let setting = match self {
            Self::Document => "RegistrationDocument",
            Self::Variables { setting, .. } => setting,
        };
        ConfigError::invalid(setting, self.named(member), problem)
    }
}

impl RegistrationDocument {
    fn registration(self, place: &Place) -> Result<Registration, ConfigError> {
        self.check(place)?;
        let auth = self.auth(place)?;
        let issuer = self.issuer(place)?;
        let mut registration = match (issuer, self.authorize_url, self.access_token_url, self.jwks_uri) {
            (Some(issuer), Some(authorize), Some(token), Some(jwks)) if self.server_metadata_url.is_none() => {
                Registration::endpoints(authorize, token, auth).openid(issuer, jwks)
            }
            (Some(issuer), authorize, token, jwks) => {
                let mut registration = Registration::discover(issuer, auth);
                registration.endpoints.authorization = authorize;
                registration.endpoints.token = token;
                registration.endpoints.jwks = jwks;
                registration
            }
            (None, _, _, Some(_)) => {
                return Err(place.fault("issuer", "is missing: keys alone do not say whose ID tokens are good"));
            }
            (None, Some(authorize), Some(token), None) => Registration::endpoints(authorize, token, auth),
            (None, Some(_), None, None) => {
                return Err(place.fault("access_token_url", "is missing, and no issuer is given whose metadata has it"));
            }
            (None, None, Some(_), None) => {
                return Err(place.fault("authorize_url", "is missing, and no issuer is given whose metadata has it"));
            }
            (None, None, None, None) => {
                return Err(place.fault("issuer", "is missing, and so are the addresses of the server's endpoints"));
            }
        };
        registration.scope = self.scope.unwrap_or_default();
        registration.api_base_url = self.api_base_url;
        registration.endpoints.userinfo = self.userinfo_endpoint;
        registration.authorize_params.extend(self.authorize_params);
        Ok(registration)
    }

    /// What can be told of each member by itself.
    fn check(&self, place: &Place) -> Result<(), ConfigError> {
        let urls = [
            ("issuer", &self.issuer),
            ("server_metadata_url", &self.server_metadata_url),
            ("authorize_url", &self.authorize_url),
            ("access_token_url", &self.access_token_url),
            ("api_base_url", &self.api_base_url),
            ("userinfo_endpoint", &self.userinfo_endpoint),
            ("jwks_uri", &self.jwks_uri),
        ];
        let others = [
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
            ("scope", &self.scope),
            ("token_endpoint_auth_method", &self.token_endpoint_auth_method),
            ("code_challenge_method", &self.code_challenge_method),
        ];
        // Empty is what is left of a variable that was to be filled in: nobody means it.
        let all = others.iter().chain(&urls);
        if let Some((member, _)) = all.clone().find(|(_, value)| value.as_deref().is_some_and(str::is_empty)) {
            return Err(place.fault(member, "is empty"));
        }
        for (member, url) in urls {
            if let Some(url) = url {
                // Whether plain HTTP will do is not known yet.
                Endpoint::new(url, PlainHttp::OnLoopback).map_err(|problem| place.fault(member, problem))?;
            }
        }
        if self.scope.as_deref().is_some_and(|scope| !is_scope_list(scope)) {
            return Err(place.fault("scope", "is not a list of scopes with spaces between (RFC 6749 s3.3)"));
        }
        match self.code_challenge_method.as_deref() {
            None | Some("S256") => Ok(()),
            Some(_) => Err(place.fault("code_challenge_method", "is not S256, which is the one that is used")),
        }
    }

    fn auth(&self, place: &Place) -> Result<ClientAuth, ConfigError> {
        const METHOD: &str = "token_endpoint_auth_method";
        let client_id = self.client_id.clone().ok_or_else(|| place.fault("client_id", "is missing"))?;
        let auth = match (self.token_endpoint_auth_method.as_deref(), self.client_secret.clone()) {
            (None | Some("none"), None) => ClientAuth::public(client_id),
            (None | Some("client_secret_basic"), Some(secret)) => ClientAuth::basic(client_id, secret),
            (Some("client_secret_post"), Some(secret)) => ClientAuth::post(client_id, secret),
            (Some("client_secret_jwt"), Some(secret)) => ClientAuth::secret_jwt(client_id, secret),
            (Some("client_secret_basic" | "client_secret_post" | "client_secret_jwt"), None) => {
                return Err(place.fault("client_secret", "is missing, and the authentication method needs it"));
            }
            (Some("none"), Some(_)) => return Err(place.fault(METHOD, "is none, though there is a secret")),
            (Some("private_key_jwt" | "tls_client_auth" | "self_signed_tls_client_auth"), _) => {
                return Err(place.fault(METHOD, "needs a key, which is given in code: see ClientAuth"));
            }
            (Some(_), _) => return Err(place.fault(METHOD, "is not a method that is known")),
        };
        auth.check()
            .map_err(|_| place.fault("client_secret", "cannot be used: a secret that signs has 32 octets or more"))?;
        Ok(auth)
    }

    /// The server's identifier: what is said to be it, or what the address of its metadata begins with.
    fn issuer(&self, place: &Place) -> Result<Option<String>, ConfigError> {
        let Some(url) = self.server_metadata_url.as_deref() else { return Ok(self.issuer.clone()) };
        let problem = "is not an address that metadata has by its issuer's identifier: give the issuer instead";
        let named = issuer_of(url).ok_or_else(|| place.fault("server_metadata_url", problem))?;
        match &self.issuer {
            // By an identifier with a slash at its end the address is the same.
            Some(issuer) if issuer.trim_end_matches('/') != named.trim_end_matches('/') => {
                Err(place.fault("server_metadata_url", "is that of another issuer than the one that is named"))
            }
            Some(issuer) => Ok(Some(issuer.clone())),
            None => Ok(Some(named)),
        }
    }
}

/// The identifier whose metadata lies at this address: OpenID Connect Discovery 1.0 s4 puts the well-known part behind it, RFC 8414 s3.1
/// between its host and its path, and many servers of the latter behind it too.
fn issuer_of(url: &str) -> Option<String> {
    const PARTS: [&str; 2] = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];
    PARTS.into_iter().find_map(|part| {
        let (before, after) = url.split_once(part)?;
        let is_inserted = after.starts_with('/') && before.matches('/').count() == 2;
        (after.is_empty() || is_inserted).then(|| format!("{before}{after}"))
    })
}

#[cfg(test)]
mod tests {
    use super::issuer_of;

    #[test]
    fn an_issuer_is_what_is_left_of_the_address_of_its_metadata() {
        for (url, issuer) in [
            ("https://id.test/.well-known/openid-configuration", Some("https://id.test")),
            ("https://id.test/realms/a/.well-known/openid-configuration", Some("https://id.test/realms/a")),
            ("https://id.test/.well-known/oauth-authorization-server", Some("https://id.test")),
            ("https://id.test/.well-known/oauth-authorization-server/realms/a", Some("https://id.test/realms/a")),
            ("https://id.test/a/.well-known/oauth-authorization-server", Some("https://id.test/a")),
            ("https://id.test/a/.well-known/oauth-authorization-server/b", None),
            ("https://id.test/.well-known/openid-configuration?policy=a", None),
            ("https://id.test/.well-known/openid-configurations", None),
            ("https://id.test/metadata.json", None),
            ("https://id.test", None),
        ] {
            assert_eq!(issuer_of(url).as_deref(), issuer, "{url}");
        }
    }
}
