//! What goes wrong at an issuer, when a test says so.

use std::time::Duration;

use super::endpoint::Endpoint;

/// A fault of an issuer, or an oddity of its answers, to be given to [`TestIssuer::script`](super::TestIssuer::script), or of
/// the way to it, to be given to [`FaultProxy::script`](super::FaultProxy::script).
///
/// A fault applies to every answer of every endpoint until [`recover`](super::TestIssuer::recover), unless
/// [`at`](Self::at) or [`times`](Self::times) narrows it. The setters add up: a slow 503 is
/// `Fault::delay(second).with_status(503)`.
///
/// ```
/// use scopegate::testing::{Endpoint, Fault, TestIssuer};
///
/// let issuer = TestIssuer::new("https://issuer.test");
/// issuer.script(Fault::status(503).with_header("retry-after", "120").times(2));
/// issuer.script(Fault::hang().at(Endpoint::Jwks));
/// issuer.recover();
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a fault does nothing until an issuer's script has it"]
pub struct Fault {
    endpoints: Vec<Endpoint>,
    left: Option<u32>,
    pub(super) status: Option<u16>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
    pub(super) delay: Option<Duration>,
    pub(super) delivery: Delivery,
}

/// How an answer travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Delivery {
    /// As it should.
    #[default]
    Whole,
    /// It never comes.
    Never,
    /// The connection is closed instead.
    Closed,
    /// The connection is reset instead.
    Reset,
    /// The connection is closed in the middle of the body.
    Truncated,
    /// The body never ends.
    Endless,
}

impl Fault {
    /// This status, with an empty body.
    pub fn status(status: u16) -> Self {
        Self::default().with_status(status)
    }

    /// No answer ever comes; the connection stays open.
    pub fn hang() -> Self {
        Self { delivery: Delivery::Never, ..Self::default() }
    }

    /// The connection is closed without an answer, as if the issuer were down.
    pub fn disconnect() -> Self {
        Self { delivery: Delivery::Closed, ..Self::default() }
    }

    /// The connection is reset without an answer (RFC 9293 s3.10.4), as if the issuer's machine had restarted.
    pub fn reset() -> Self {
        Self { delivery: Delivery::Reset, ..Self::default() }
    }

    /// The answer comes this much later.
    ///
    /// In memory that is by the issuer's clock, so with a [`TestClock`](super::TestClock) it comes when the clock has been
    /// turned that far; over a socket it is real time.
    pub fn delay(by: Duration) -> Self {
        Self { delay: Some(by), ..Self::default() }
    }

    /// This text instead of the document; status and content type stay as they are.
    pub fn body(text: impl Into<String>) -> Self {
        Self { body: Some(text.into()), ..Self::default() }
    }

    /// The connection is closed in the middle of the document, of which the header promised more.
    pub fn truncated() -> Self {
        Self { delivery: Delivery::Truncated, ..Self::default() }
    }

    /// A body that never ends.
    pub fn endless() -> Self {
        Self { delivery: Delivery::Endless, ..Self::default() }
    }

    /// A redirect (302) to this URL.
    pub fn redirect(url: &str) -> Self {
        Self::status(302).with_header("location", url)
    }

    /// The document under another content type.
    pub fn content_type(media_type: &str) -> Self {
        Self::header("content-type", media_type)
    }

    /// The document under this entity tag, with its quotes; whoever asks for it with that tag is told that nothing has changed
    /// (304), whatever the document is by now.
    pub fn entity_tag(tag: &str) -> Self {
        Self::header("etag", tag)
    }

    /// The document under this date of its last change (RFC 9110 s5.6.7); whoever asks whether it has changed since that very date
    /// is told that it has not (304), whatever the document is by now.
    ///
    /// Nobody should rely on a date that is less than a minute older than the answer's `date`, which
    /// [`with_header`](Self::with_header) sets: in memory there is none otherwise.
    pub fn last_modified(date: &str) -> Self {
        Self::header("last-modified", date)
    }

    /// The document with this header field beside the usual ones, or instead of the one of that name.
    pub fn header(name: &str, value: &str) -> Self {
        Self::default().with_header(name, value)
    }

    /// The same with this status and, unless [`with_body`](Self::with_body) gives one, an empty body.
    ///
    /// A number that is not an HTTP status counts as 500.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// The same with this header field, such as `retry-after` or `cache-control`. A field that HTTP cannot carry is left out.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with this body.
    pub fn with_body(mut self, text: impl Into<String>) -> Self {
        self.body = Some(text.into());
        self
    }

    /// The same at this endpoint alone; a second call adds a second endpoint.
    pub fn at(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// The same for this many answers.
    ///
    /// Faults that are counted come first, in the order in which they were scripted; after them the newest that lasts.
    pub fn times(mut self, answers: u32) -> Self {
        self.left = Some(answers);
        self
    }

    /// Whether there is any use in asking for the answer that this fault befalls.
    pub(super) const fn needs_an_answer(&self) -> bool {
        self.status.is_none() && matches!(self.delivery, Delivery::Whole | Delivery::Truncated)
    }

    fn applies(&self, endpoint: Option<Endpoint>) -> bool {
        self.left != Some(0) && (self.endpoints.is_empty() || endpoint.is_some_and(|it| self.endpoints.contains(&it)))
    }
}

/// The faults to come.
#[derive(Debug, Default)]
pub(super) struct Script {
    faults: Vec<Fault>,
}

impl Script {
    pub(super) fn push(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.faults.clear();
    }

    /// The fault of the next answer at this endpoint: the oldest that is counted, one of its times used up, else the newest
    /// that lasts.
    pub(super) fn next(&mut self, endpoint: Option<Endpoint>) -> Option<Fault> {
        if let Some(counted) = self.faults.iter_mut().find(|fault| fault.left.is_some() && fault.applies(endpoint)) {
            counted.left = counted.left.map(|left| left.saturating_sub(1));
            return Some(counted.clone());
        }
        self.faults.iter().rev().find(|fault| fault.left.is_none() && fault.applies(endpoint)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_faults_come_before_lasting_ones_and_each_at_its_endpoint() {
        let mut script = Script::default();
        script.push(Fault::status(503));
        script.push(Fault::status(404).at(Endpoint::OpenIdConfiguration).at(Endpoint::OAuthMetadata));
        script.push(Fault::status(500).times(2));
        let mut statuses = Vec::new();
        for endpoint in [Some(Endpoint::Jwks), None, Some(Endpoint::OAuthMetadata), Some(Endpoint::Jwks), None] {
            statuses.extend(script.next(endpoint).map(|fault| fault.status));
        }
        assert_eq!(statuses, [500, 500, 404, 503, 503].map(Some));
        script.clear();
        assert!(script.next(Some(Endpoint::Jwks)).is_none());
    }

    #[test]
    fn a_fault_for_no_answer_never_applies() {
        let mut script = Script::default();
        script.push(Fault::hang().times(0));
        assert!(script.next(None).is_none());
    }
}
