//! The way to an issuer that needs no network.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use super::answer::Answer;
use super::fault::Delivery;
use super::state::{State, Time};
use crate::clock::Clock as _;
use crate::wire::fetch::{Fetch, FetchError, FetchLimits, Fetching};

/// A [`Fetch`] that asks issuers of this process.
#[derive(Debug)]
pub(super) struct Memory {
    issuers: Vec<Arc<State>>,
}

impl Memory {
    pub(super) fn of(issuers: impl IntoIterator<Item = Arc<State>>) -> Self {
        Self { issuers: issuers.into_iter().collect() }
    }

    /// The issuer that serves this address, else one of the same origin, and the address's path.
    fn serving<'a>(&self, url: &'a str) -> Option<(&Arc<State>, &'a str)> {
        let mut same_origin =
            self.issuers.iter().filter_map(|issuer| issuer.addresses.path_of(url).map(|path| (issuer, path)));
        let serves = same_origin.clone().find(|(issuer, path)| issuer.addresses.endpoint(path).is_some());
        serves.or_else(|| same_origin.next())
    }
}

impl Fetch for Memory {
    fn fetch(&self, request: Request<Bytes>, limits: FetchLimits) -> Fetching<'_> {
        Box::pin(async move {
            let url = request.uri().to_string();
            let Some((issuer, path)) = self.serving(&url) else { return Ok(Answer::not_found()) };
            let time = issuer.lock().time.clone();
            // Read before the request is counted: a test that has seen the count may turn the clock at once.
            let asked_at = time.now().uptime();
            let answer = Answer::of(issuer, path, &request);
            deliver(answer, &time, asked_at, limits).await
        })
    }
}

async fn deliver(
    answer: Answer,
    time: &Time,
    asked_at: Duration,
    limits: FetchLimits,
) -> Result<Response<Bytes>, FetchError> {
    let delay = if answer.delivery == Delivery::Never { Some(Duration::MAX) } else { answer.delay };
    if let Some(delay) = delay {
        Pause::until(time, asked_at.saturating_add(delay.min(limits.total))).await;
        if delay >= limits.total {
            return Err(FetchError::TimedOut(limits.total));
        }
    }
    let length = answer.response.body().len();
    match answer.delivery {
        Delivery::Closed | Delivery::Reset | Delivery::Truncated => {
            let source = Arc::new(io::Error::from(io::ErrorKind::UnexpectedEof));
            Err(FetchError::Cut { source })
        }
        Delivery::Endless => Err(FetchError::TooLarge { limit: limits.body }),
        Delivery::Whole | Delivery::Never if length > limits.body => Err(FetchError::TooLarge { limit: limits.body }),
        Delivery::Whole | Delivery::Never => Ok(answer.response),
    }
}

/// A wait by the issuer's clock: until it has been turned that far, or in real time if it is the system's.
struct Pause {
    time: Time,
    end: Duration,
    sleeper: Option<Arc<Mutex<Waker>>>,
}

impl Pause {
    /// Until this uptime.
    fn until(time: &Time, end: Duration) -> Self {
        Self { time: time.clone(), end, sleeper: None }
    }

    fn left(&self) -> Duration {
        self.end.saturating_sub(self.time.now().uptime())
    }

    /// A thread that wakes whoever waits when the time is over: this runs under any executor, so no runtime's timer serves.
    fn sleep(&mut self, waker: &Waker) {
        if let Some(sleeper) = &self.sleeper {
            sleeper.lock().unwrap_or_else(PoisonError::into_inner).clone_from(waker);
            return;
        }
        let shared = Arc::new(Mutex::new(waker.clone()));
        self.sleeper = Some(Arc::clone(&shared));
        let left = self.left();
        thread::spawn(move || {
            thread::sleep(left);
            shared.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
        });
    }
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &self.time {
            Time::Turned(clock) => clock.wake_when_turned(context.waker().clone()),
            Time::System(_) => self.sleep(context.waker()),
        }
        // After the waker is known, or a turn in between would be missed.
        if self.left().is_zero() { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Endpoint, Fault, TestClock, TestIssuer};

    fn ask(fetch: &dyn Fetch, url: &str) -> Result<Response<Bytes>, FetchError> {
        let request = Request::get(url).body(Bytes::new()).unwrap();
        futures_executor::block_on(fetch.fetch(request, FetchLimits::default()))
    }

    #[test]
    fn an_issuer_serves_its_documents_from_memory_and_counts() {
        let issuer = TestIssuer::new("https://issuer.test/tenant");
        let other = TestIssuer::new("https://issuer.test/other");
        let fetch = TestIssuer::fetch_from([&issuer, &other]);
        let keys = ask(&*fetch, &other.jwks_uri()).unwrap();
        assert_eq!(keys.headers()["content-type"], "application/jwk-set+json");
        assert_eq!(keys.body(), &other.jwks());
        let metadata = ask(&*fetch, "https://issuer.test/.well-known/oauth-authorization-server/tenant").unwrap();
        assert_eq!(metadata.body(), &issuer.metadata());
        assert_eq!(ask(&*fetch, "https://elsewhere.test/jwks").unwrap().status(), 404);
        assert_eq!((other.requests().jwks, issuer.requests().jwks, issuer.requests().metadata), (1, 0, 1));
    }

    #[test]
    fn faults_are_obeyed_and_end_with_the_recovery() {
        let issuer = TestIssuer::new("https://issuer.test");
        let (fetch, url) = (issuer.fetch(), issuer.jwks_uri());
        let once = |fault: Fault| {
            issuer.script(fault.times(1));
            ask(&*fetch, &url)
        };
        let unavailable = once(Fault::status(503).with_header("retry-after", "9")).unwrap();
        assert_eq!(
            (unavailable.status().as_u16(), &unavailable.headers()["retry-after"]),
            (503, &"9".parse().unwrap())
        );
        assert!(unavailable.body().is_empty());
        assert_eq!(once(Fault::redirect("https://evil.test/")).unwrap().headers()["location"], "https://evil.test/");
        assert_eq!(once(Fault::body("<html>")).unwrap().body(), "<html>");
        assert_eq!(once(Fault::content_type("text/html")).unwrap().headers()["content-type"], "text/html");
        assert!(matches!(once(Fault::truncated()), Err(FetchError::Cut { .. })));
        assert!(matches!(once(Fault::disconnect()), Err(FetchError::Cut { .. })));
        assert!(matches!(once(Fault::endless()), Err(FetchError::TooLarge { .. })));
        assert!(once(Fault::delay(Duration::from_millis(1))).unwrap().status().is_success());

        issuer.script(Fault::status(500).at(Endpoint::Jwks));
        issuer.publish_raw("{}");
        assert_eq!(ask(&*fetch, &url).unwrap().status(), 500);
        issuer.recover();
        assert_eq!(ask(&*fetch, &url).unwrap().body(), &issuer.jwks());
    }

    #[test]
    fn a_turned_clock_decides_when_a_late_answer_comes() {
        let clock = TestClock::at(0);
        let issuer = TestIssuer::new("https://issuer.test").clock(&clock);
        issuer.script(Fault::delay(Duration::from_secs(3)).times(1));
        issuer.script(Fault::hang().times(1));
        let fetch = issuer.fetch();
        let ask = || {
            let request = Request::get(issuer.jwks_uri()).body(Bytes::new()).unwrap();
            fetch.fetch(request, FetchLimits::default())
        };
        let mut context = Context::from_waker(Waker::noop());

        let mut late = ask();
        assert!(late.as_mut().poll(&mut context).is_pending());
        clock.set_wall(1000);
        clock.advance(Duration::from_secs(2));
        assert!(late.as_mut().poll(&mut context).is_pending());
        clock.advance(Duration::from_secs(1));
        assert!(matches!(late.as_mut().poll(&mut context), Poll::Ready(Ok(_))));

        let mut never = ask();
        clock.advance(Duration::from_secs(9));
        assert!(never.as_mut().poll(&mut context).is_pending());
        clock.advance(Duration::from_secs(5));
        assert!(matches!(never.as_mut().poll(&mut context), Poll::Ready(Err(FetchError::TimedOut(_)))));
    }
}
