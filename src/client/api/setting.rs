//! The setting of a registration that is about calls to APIs.

use crate::client::api::http::Setup;
use crate::client::registration::Registration;

impl Registration {
    /// The HTTP client that calls the API: proxies, timeouts, certificates and whatever else `reqwest` lets a program set. It is made at the
    /// first call, and shared by all [`ApiClient`](crate::client::ApiClient)s of the client.
    ///
    /// By default it minds no proxy in the environment, takes up to 10 s to connect, and waits up to 30 s for each piece of an answer. Its
    /// redirect policy is always this crate's: see [`ApiClient`](crate::client::ApiClient).
    ///
    /// All else is as the builder says: one that does not say `no_proxy` takes proxies from the environment, as `reqwest` does, and these
    /// see what goes over plain HTTP. Do not give it a cookie store: it would be shared by all users, and an API that keeps its sessions in
    /// cookies would take one for another.
    ///
    /// ```
    /// use std::time::Duration;
    /// use scopegate::ClientAuth;
    /// use scopegate::client::{Client, Registration};
    ///
    /// let registration = Registration::discover("https://id.example.com", ClientAuth::basic("app", "s3cret"))
    ///     .api_base_url("https://api.example.com/v1")
    ///     .api_http(|| reqwest::Client::builder().user_agent("things/1.0").timeout(Duration::from_secs(5)));
    /// let client = Client::new("example", registration)?;
    /// # Ok::<(), scopegate::ConfigError>(())
    /// ```
    #[must_use]
    pub fn api_http(mut self, builder: impl Fn() -> reqwest::ClientBuilder + Send + Sync + 'static) -> Self {
        self.api_http = Setup::new(builder);
        self
    }
}
