//! hyper on one thread, HTTP/1.1 with keep-alive, and one small answer.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use scopegate::{Issuer, KeySet, ScopePolicy, Validator, ValidatorBuilder};
use tokio::net::TcpListener;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::measure::AUDIENCE;
use crate::measure::forgetful;
use crate::mint::ISSUER;

pub(crate) fn until_told(guard: &str, port: u16, folder: &Path) {
    // Whoever started us holds our standard input open, so it ends when he does.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let builder = Validator::builder(AUDIENCE);
    let read = ScopePolicy::all(["things:read"]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    match guard {
        "unguarded" => runtime.block_on(serve(port, Things)),
        "remembering" => runtime.block_on(serve(port, validator(builder, folder).require(read).layer(Things))),
        "forgetful" => runtime.block_on(serve(port, validator(forgetful(builder), folder).require(read).layer(Things))),
        _ => panic!("unguarded, remembering or forgetful"),
    }
}

fn validator(builder: ValidatorBuilder, folder: &Path) -> Validator {
    let keys = KeySet::from_json(&std::fs::read(folder.join("jwks.json")).unwrap()).unwrap();
    builder.trust(Issuer::keys(ISSUER, keys)).build().unwrap()
}

async fn serve<S, B>(port: u16, service: S)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    loop {
        let (connection, _) = listener.accept().await.unwrap();
        connection.set_nodelay(true).unwrap();
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            // A client that goes away is none of our business.
            let _ =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

/// What is guarded.
#[derive(Clone)]
struct Things;

impl<B> Service<Request<B>> for Things {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(Full::new(Bytes::from_static(b"ok\n")));
        response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
        ready(Ok(response))
    }
}
