//! What is asserted of every row.
//!
//! Of one that is refused: nothing panics; the reason is the row's; through the layer the service behind is not called, and
//! the answer is byte for byte that to a plain bad token of the same family; nothing is asked of the network unless the row
//! allows it; neither the rejection nor the credentials show a piece of the token; and the good token is accepted after it.

use std::convert::Infallible;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_executor::block_on;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use scopegate::{AccessToken, Credentials, Family, Profile, Reason, Rejection, Requirement, ScopePolicy};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::world::{A, B, NOW, Place, Settings, Site, base};

const PLACES: &[Place] = &[Place::HandedOver, Place::OnlyA, Place::Fetched];
const BOTH: &[Profile] = &[Profile::Rfc9068, Profile::PlainJwt];

/// A token, and what must come of it.
pub(crate) struct Row {
    id: String,
    token: Vec<u8>,
    expected: Result<(), Reason>,
    /// The reason where A alone is trusted, if it is another.
    only_a: Option<Reason>,
    over_http: OverHttp,
    /// Whose key set may be fetched, and how often.
    may_ask: Option<(&'static str, usize)>,
    settings: Settings,
    demand: ScopePolicy,
    wall: Option<i64>,
    profiles: &'static [Profile],
    places: &'static [Place],
    holds: fn(&AccessToken) -> bool,
}

/// What becomes of the token as a field of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OverHttp {
    /// The same as when it is handed over in the program.
    Alike,
    /// It is not a `b64token`, so the request is the bad one (RFC 6750 s2.1).
    BadRequest,
    /// No field can hold it.
    NoSuchField,
}

pub(crate) fn refused(id: &str, token: impl Into<Vec<u8>>, reason: Reason) -> Row {
    Row::new(id, token.into(), Err(reason))
}

pub(crate) fn accepted(id: &str, token: impl Into<Vec<u8>>) -> Row {
    Row::new(id, token.into(), Ok(()))
}

impl Row {
    fn new(id: &str, token: Vec<u8>, expected: Result<(), Reason>) -> Self {
        Self {
            id: id.to_owned(),
            token,
            expected,
            only_a: None,
            over_http: OverHttp::Alike,
            may_ask: None,
            settings: Settings::default(),
            demand: scope("read"),
            wall: None,
            profiles: BOTH,
            places: PLACES,
            holds: |_| true,
        }
    }

    /// As a field of a request it is not even a token.
    pub(crate) fn not_b64token(self) -> Self {
        Self { over_http: OverHttp::BadRequest, ..self }
    }

    /// No field of a request can hold it.
    pub(crate) fn not_a_field(self) -> Self {
        Self { over_http: OverHttp::NoSuchField, ..self }
    }

    /// The key set of A, which is at hand, may be fetched once more.
    pub(crate) fn may_ask_a(self) -> Self {
        Self { may_ask: Some((A, 1)), ..self }
    }

    /// The same for a token that names no key: what is judged twice may be asked for twice, and then the budget is spent.
    pub(crate) fn may_ask_a_each_time(self) -> Self {
        Self { may_ask: Some((A, 2)), ..self }
    }

    /// The key set of B, which is not, may be fetched, and once more for a key that it does not have.
    pub(crate) fn may_ask_b(self) -> Self {
        Self { may_ask: Some((B, 2)), ..self }
    }

    /// The reason where A alone is trusted.
    pub(crate) fn only_a(self, reason: Reason) -> Self {
        Self { only_a: Some(reason), ..self }
    }

    pub(crate) fn strict(self) -> Self {
        Self { profiles: &[Profile::Rfc9068], ..self }
    }

    pub(crate) fn lenient(self) -> Self {
        Self { profiles: &[Profile::PlainJwt], ..self }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub(crate) fn demanding(self, demand: ScopePolicy) -> Self {
        Self { demand, ..self }
    }

    /// Judged at this time, by keys that the program handed over.
    pub(crate) fn at(self, unix_seconds: i64) -> Self {
        Self { wall: Some(unix_seconds), places: &[Place::HandedOver, Place::OnlyA], ..self }
    }

    /// What must be true of the accepted token.
    pub(crate) fn holds(self, holds: fn(&AccessToken) -> bool) -> Self {
        Self { holds, ..self }
    }

    fn judge(&self, place: Place, profile: Profile) {
        let about = format!("{}, {place:?}, {profile:?}", self.id);
        let site = Site::new(place, &Settings { profile, ..self.settings.clone() });
        accepts_base(&site, &format!("{about}: before"));
        let before = site.asked();
        if let Some(wall) = self.wall {
            site.clock.set_wall(wall);
        }

        self.judge_straight(&site, place, &about);
        self.judge_through_the_layer(&site, place, &about);

        site.clock.set_wall(NOW);
        self.asked_no_more(&site, before.len(), &about);
        let asked = site.asked().len();
        accepts_base(&site, &format!("{about}: after"));
        assert_eq!(site.asked().len(), asked, "{about}: the good token needed a fetch");
    }

    fn expected_at(&self, place: Place) -> Result<(), Reason> {
        match (self.expected, self.only_a) {
            (Err(_), Some(reason)) if place == Place::OnlyA => Err(reason),
            (expected, _) => expected,
        }
    }

    fn judge_straight(&self, site: &Site, place: Place, about: &str) {
        let credentials = Credentials::bearer(&self.token);
        let demand = Requirement::from(self.demand.clone());
        let judged = catch_unwind(AssertUnwindSafe(|| match place {
            Place::HandedOver | Place::OnlyA => site.validator.check(&credentials, &demand),
            Place::Fetched => block_on(site.validator.validate(&credentials, &demand)),
        }));
        let judged = judged.unwrap_or_else(|_| panic!("{about}: a panic"));
        let outcome = judged.as_ref().map(|_| ()).map_err(Rejection::reason);
        assert_eq!(outcome, self.expected_at(place), "{about}");
        match &judged {
            Ok(token) => {
                assert!(token.issuer().as_str() == A && (self.holds)(token), "{about}: another token");
            }
            Err(rejection) => assert_shows_nothing(&self.token, rejection, &credentials, about),
        }
    }

    fn judge_through_the_layer(&self, site: &Site, place: Place, about: &str) {
        let field = [b"Bearer ", self.token.as_slice()].concat();
        let Ok(field) = HeaderValue::from_bytes(&field) else {
            assert!(self.over_http == OverHttp::NoSuchField, "{about}: not a header field");
            return;
        };
        assert!(self.over_http != OverHttp::NoSuchField, "{about}: a header field after all");
        let (answer, calls) = catch_unwind(AssertUnwindSafe(|| answer(site, &self.demand, field)))
            .unwrap_or_else(|_| panic!("{about}: a panic behind the layer"));
        let family = match (self.expected_at(place), self.over_http) {
            (_, OverHttp::BadRequest) => Family::InvalidRequest,
            (Err(reason), _) => reason.family(),
            (Ok(()), _) => {
                assert_eq!((answer.status, calls), (200, 1), "{about}: through the layer");
                return;
            }
        };
        assert_eq!(calls, 0, "{about}: the service behind the layer was called");
        assert_eq!(answer, plain(family, &self.demand), "{about}: the answer is not that to a plain bad token");
    }

    fn asked_no_more(&self, site: &Site, before: usize, about: &str) {
        let asked = site.asked().split_off(before);
        let (url, times) = self.may_ask.map_or((String::new(), 0), |(issuer, times)| (format!("{issuer}/jwks"), times));
        // The name of a key may have been given to another: its issuer is asked, within the budget for unknown keys.
        let again = self.expected == Err(Reason::BadSignature);
        let (url, times) = if again && times == 0 { (format!("{A}/jwks"), 2) } else { (url, times) };
        assert!(asked.len() <= times && asked.iter().all(|asked| *asked == url), "{about}: asked {asked:?}");
    }
}

/// Judges each row by every site in both profiles, unless the row is about some of them only.
pub(crate) fn run(rows: impl IntoIterator<Item = Row>) {
    for row in rows {
        for profile in row.profiles {
            for place in row.places {
                row.judge(*place, *profile);
            }
        }
    }
}

/// A rule that demands these scopes.
pub(crate) fn scope(scopes: &str) -> ScopePolicy {
    ScopePolicy::all([scopes]).unwrap()
}

fn accepts_base(site: &Site, about: &str) {
    static BASE: OnceLock<String> = OnceLock::new();
    let base = BASE.get_or_init(|| base().mint());
    let judged = block_on(site.validator.validate(&Credentials::bearer(base), &scope("read").into()));
    assert_eq!(judged.err().map(|rejection| rejection.reason()), None, "{about}: the good token");
}

/// An answer, whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// What the guarded service answers to a request with this `Authorization`, and how often the service behind was called.
pub(crate) fn answer(site: &Site, demand: &ScopePolicy, field: HeaderValue) -> (Answer, usize) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let inner = service_fn(move |request: Request<()>| {
        counter.fetch_add(1, Ordering::SeqCst);
        assert!(request.extensions().get::<AccessToken>().is_some(), "the request has no token");
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"the secret")))))
    });
    let guarded = site.validator.require(demand.clone()).layer(inner);
    let mut request = Request::new(());
    request.headers_mut().insert(AUTHORIZATION, field);
    let (parts, body) = block_on(guarded.oneshot(request)).unwrap().into_parts();
    let header = |(name, value): (&http::HeaderName, &HeaderValue)| {
        (name.to_string(), value.as_bytes().escape_ascii().to_string())
    };
    let mut headers: Vec<_> = parts.headers.iter().map(header).collect();
    headers.sort();
    let body = block_on(body.collect()).unwrap().to_bytes();
    (Answer { status: parts.status.as_u16(), headers, body }, calls.load(Ordering::SeqCst))
}

/// The answer of this family to a request without anything special about it.
fn plain(family: Family, demand: &ScopePolicy) -> Answer {
    static PLAIN: OnceLock<(Site, String)> = OnceLock::new();
    let (site, scopeless) = PLAIN.get_or_init(|| {
        let scopeless = format!("Bearer {}", base().without("scope").mint());
        (Site::new(Place::OnlyA, &Settings::default()), scopeless)
    });
    let (field, status) = match family {
        Family::InvalidRequest => ("Bearer not a token", 400),
        Family::InsufficientScope => (scopeless.as_str(), 403),
        _ => ("Bearer not.a.token", 401),
    };
    let (answer, calls) = answer(site, demand, HeaderValue::from_str(field).unwrap());
    assert_eq!((answer.status, calls), (status, 0), "the plain bad token {field:?}");
    answer
}

/// What an operator's log would hold: one line of printable text, and no eight bytes of the token.
fn assert_shows_nothing(token: &[u8], rejection: &Rejection, credentials: &Credentials<'_>, about: &str) {
    let mut shown = vec![format!("{credentials:?}"), format!("{rejection:?}"), rejection.to_string()];
    let mut source = rejection.source();
    while let Some(error) = source {
        shown.extend([error.to_string(), format!("{error:?}")]);
        source = error.source();
    }
    // Text is searched faster than octets. What is not UTF-8 cannot be in what is shown.
    let token = String::from_utf8_lossy(token);
    for text in shown {
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{about}: not one printable line: {text:?}");
        for at in 0..text.len().saturating_sub(7) {
            assert!(!token.contains(&text[at..at + 8]), "{about}: a piece of the token in {text:?}");
        }
    }
}
