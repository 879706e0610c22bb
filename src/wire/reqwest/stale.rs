//! One more try, when a connection that had been kept turns out to be dead.
//!
//! A host may close an idle connection at the very moment at which a request is written to it (RFC 9112 s9.3.1). That is no
//! failure of the host, and a fresh connection shows it. A failure of a fresh connection is one, and is left to whoever
//! decides when to ask again. The client repeats on its own what never left this machine; here is the rest.

use std::cell::Cell;
use std::task::{Context, Poll};

use reqwest::{Client, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

tokio::task_local! {
    /// Whether the exchange of this task made a connection.
    static CONNECTED: Cell<bool>;
}

/// Sends the request, and once more if the first try broke off on a kept connection. The client needs [`Watch`].
///
/// Only what may be done twice is done twice.
pub(super) async fn send(client: &Client, request: Request, is_repeatable: bool) -> reqwest::Result<Response> {
    let again = if is_repeatable { request.try_clone() } else { None };
    let first = async { (client.execute(request).await, CONNECTED.with(Cell::get)) };
    match (CONNECTED.scope(Cell::new(false), first).await, again) {
        ((Err(error), false), Some(again)) if error.is_request() && !error.is_timeout() => client.execute(again).await,
        ((answer, _), _) => answer,
    }
}

/// Notes each connection that is made.
#[derive(Clone, Debug)]
pub(super) struct Watch;

impl<S> Layer<S> for Watch {
    type Service = Watched<S>;

    fn layer(&self, connector: S) -> Watched<S> {
        Watched { connector }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Watched<S> {
    connector: S,
}

impl<S: Service<T>, T> Service<T> for Watched<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, target: T) -> S::Future {
        // Nobody listens where a connection is made outside of `send`.
        let _ = CONNECTED.try_with(|connected| connected.set(true));
        self.connector.call(target)
    }
}
