//! The issuer, the API, and who counts.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use scopegate::testing::{TestIssuer, TestToken};
use scopegate::{ClientAuth, ClientSecret, Introspection, Issuer, Judged, Observe, PlainHttp, Validator};
use tokio::net::TcpListener;

use crate::{Failure, api};

/// How long the issuer's word is remembered: 30 s unless a program says otherwise, and here so short that you need not wait.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(3);

/// An issuer on loopback, and an API that asks it about tokens.
pub(crate) struct World {
    pub(crate) issuer: TestIssuer,
    pub(crate) validator: Validator,
    pub(crate) api: SocketAddr,
    pub(crate) judged: Arc<Counter>,
}

impl World {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let api = listener.local_addr()?;
        let url = format!("http://{api}");
        let issuer = TestIssuer::on_loopback()?.default_audience(&url);
        issuer.client_secret("things-api", "s3cret");
        let judged = Arc::new(Counter::default());
        let validator = validator(&url, &issuer, Arc::clone(&judged))?;
        let router = api::router(&validator)?;
        tokio::spawn(async { axum::serve(listener, router).await });
        Ok(Self { issuer, validator, api, judged })
    }

    /// An opaque token that is good for an hour.
    pub(crate) fn token(&self, subject: &str, scope: &str) -> TestToken {
        self.issuer.token().subject(subject).client_id("demo").scope(scope).lifetime(Duration::from_secs(3600))
    }

    /// How often the issuer was asked about a token.
    pub(crate) fn asked(&self) -> u64 {
        self.issuer.requests().introspection
    }
}

/// What a program of your own would have, but for plain HTTP and the three seconds.
fn validator(url: &str, issuer: &TestIssuer, judged: Arc<Counter>) -> Result<Validator, Failure> {
    // In a program this reads a file or asks a vault. It is asked when it is first needed, and again once after a 401.
    let secret = ClientSecret::asked(|| Ok::<_, std::io::Error>("s3cret".to_owned()));
    let introspection = Introspection::discover(ClientAuth::basic("things-api", secret)).remember(REMEMBERED);
    let trusted = Issuer::introspect(issuer.id(), introspection).plain_http(PlainHttp::OnLoopback);
    Ok(Validator::builder(url).trust(trusted).observe(judged).build()?)
}

/// Hears of every judgement, and writes down how long it took.
#[derive(Debug, Default)]
pub(crate) struct Counter(Mutex<Vec<Duration>>);

impl Observe for Counter {
    fn judged(&self, judged: &Judged<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(judged.took);
    }
}

impl Counter {
    pub(crate) fn all(&self) -> Vec<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn last(&self) -> Duration {
        self.all().last().copied().unwrap_or_default()
    }
}
