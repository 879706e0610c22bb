//! Users who can sign in.

use serde::Serialize;
use serde_json::{Map, Value};

/// A user to be added with [`TestIssuer::add_user`](super::TestIssuer::add_user).
///
/// The login name is the `sub` and the `preferred_username`, and the `name` too unless there is one. Everybody else can sign in
/// as well, and is a user with the login name for all three: this type is for those who are to have more claims.
///
/// ```
/// use scopegate::testing::{TestIssuer, TestUser};
///
/// let issuer = TestIssuer::new("https://issuer.test");
/// issuer.add_user(TestUser::new("alice").name("Alice Adams").email("alice@example.com").claim("role", "admin"));
/// ```
#[derive(Clone, Debug)]
#[must_use = "a user is nobody until an issuer knows them"]
pub struct TestUser {
    pub(super) login: String,
    claims: Map<String, Value>,
}

impl TestUser {
    /// A user of this login name.
    pub fn new(login: impl Into<String>) -> Self {
        let login = login.into();
        let claims = ["name", "preferred_username"].map(|claim| (claim.to_owned(), Value::from(login.as_str())));
        Self { login, claims: claims.into_iter().collect() }
    }

    /// With this full name, told to whoever asks for the scope `profile`.
    pub fn name(self, name: &str) -> Self {
        self.claim("name", name)
    }

    /// With this e-mail address, which counts as verified, told to whoever asks for the scope `email`.
    pub fn email(self, email: &str) -> Self {
        self.claim("email", email).claim("email_verified", true)
    }

    /// With this claim.
    ///
    /// Claims of OpenID Connect Core 1.0 s5.1 are told to whoever asks for the scope that they belong to (s5.4) or for the
    /// claim by name (s5.5). All others are told to whoever asks for `openid`.
    ///
    /// # Panics
    ///
    /// If the value has no form in JSON, such as a map whose keys are not strings.
    #[expect(clippy::panic, reason = "a test with a value that JSON cannot say is wrong, and documented to fail here")]
    pub fn claim(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value)
            .unwrap_or_else(|error| panic!("the claim {name:?} has no form in JSON: {error}"));
        self.claims.insert(name.to_owned(), value);
        self
    }

    /// What is told to a client that was granted this scope and asked for these claims by name. `sub` is not in it.
    pub(super) fn told(&self, scope: &str, by_name: &[String]) -> Map<String, Value> {
        let is_granted = |claim: &str| match SCOPES.iter().find(|(_, claims)| claims.contains(&claim)) {
            Some((needed, _)) => scope.split(' ').any(|granted| granted == *needed),
            None => true,
        };
        let told = self.claims.iter().filter(|(claim, _)| is_granted(claim) || by_name.contains(claim));
        told.map(|(claim, value)| (claim.clone(), value.clone())).collect()
    }
}

/// OpenID Connect Core 1.0 s5.4.
const SCOPES: [(&str, &[&str]); 4] = [
    (
        "profile",
        &[
            "name",
            "family_name",
            "given_name",
            "middle_name",
            "nickname",
            "preferred_username",
            "profile",
            "picture",
            "website",
            "gender",
            "birthdate",
            "zoneinfo",
            "locale",
            "updated_at",
        ],
    ),
    ("email", &["email", "email_verified"]),
    ("address", &["address"]),
    ("phone", &["phone_number", "phone_number_verified"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn told(scope: &str, by_name: &[&str]) -> Vec<String> {
        let alice = TestUser::new("alice").email("alice@example.com").claim("role", "admin").claim("locale", "en");
        let by_name: Vec<String> = by_name.iter().map(|&name| name.to_owned()).collect();
        alice.told(scope, &by_name).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_claim_is_told_by_its_scope_or_by_its_name() {
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        assert_eq!(told("openid", &[]), ["role"]);
        assert_eq!(sorted(told("openid email", &[])), ["email", "email_verified", "role"]);
        assert_eq!(sorted(told("openid profile", &[])), ["locale", "name", "preferred_username", "role"]);
        assert_eq!(sorted(told("openid", &["email"])), ["email", "role"]);
    }
}
