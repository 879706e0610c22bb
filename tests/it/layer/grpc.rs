//! tonic: a refusal reaches a gRPC client as the status that it knows.

use std::pin::Pin;

use bytes::{Buf as _, BufMut as _};
use http::uri::PathAndQuery;
use tokio::runtime::Runtime;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::NamedService;
use tonic::service::LayerExt as _;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Status};

use super::*;

/// Messages that are what they are: nothing here needs protoc.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// A service with one method, which says whose token it found.
#[derive(Clone)]
struct Greeter(Inner);

impl NamedService for Greeter {
    const NAME: &'static str = "test.Greeter";
}

impl Service<Request<tonic::body::Body>> for Greeter {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let inner = self.0.clone();
        let method = tower::service_fn(move |request: tonic::Request<Bytes>| {
            inner.0.fetch_add(1, Ordering::SeqCst);
            ready(Ok::<_, Status>(tonic::Response::new(Bytes::from(whose(request.extensions().get())))))
        });
        Box::pin(async move { Ok(tonic::server::Grpc::new(Raw).unary(method, request).await) })
    }
}

/// Where the guard stands.
#[derive(Clone, Copy, Debug)]
enum Guards {
    TheServer,
    TheService,
}

/// A server, and a client of it.
struct Served {
    runtime: Runtime,
    channel: Channel,
}

impl Served {
    fn new(world: &World, guards: Guards) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (greeter, layer) = (Greeter(world.inner.clone()), world.read());
        let channel = runtime.block_on(async move {
            let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let address = incoming.local_addr().unwrap();
            match guards {
                Guards::TheServer => {
                    tokio::spawn(Server::builder().layer(layer).add_service(greeter).serve_with_incoming(incoming));
                }
                Guards::TheService => {
                    let guarded = layer.named_layer(greeter);
                    tokio::spawn(Server::builder().add_service(guarded).serve_with_incoming(incoming));
                }
            }
            Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
        });
        Self { runtime, channel }
    }

    fn greet(&self, fields: &[String]) -> Result<Bytes, Status> {
        let mut request = tonic::Request::new(Bytes::from_static(b"hello"));
        for field in fields {
            request.metadata_mut().append("authorization", field.parse().unwrap());
        }
        self.runtime.block_on(async {
            let mut client = tonic::client::Grpc::new(self.channel.clone());
            client.ready().await.unwrap();
            let method = PathAndQuery::from_static("/test.Greeter/Greet");
            client.unary(request, method, Raw).await.map(tonic::Response::into_inner)
        })
    }
}

fn bearer_of(token: TestToken) -> String {
    format!("Bearer {}", token.mint())
}

/// What a client may send, and what it is to be told.
fn refusals(world: &World) -> Vec<(&'static str, Vec<String>, Code, &'static str)> {
    let good = bearer_of(world.token());
    vec![
        ("R01", vec![], Code::Unauthenticated, r#"scope="read""#),
        ("R07", vec!["Basic dTpw".to_owned()], Code::Unauthenticated, r#"scope="read""#),
        ("expired", vec![bearer_of(world.token().expired())], Code::Unauthenticated, r#"error="invalid_token""#),
        ("403", vec![bearer_of(world.token().scope("write"))], Code::PermissionDenied, r#"error="insufficient_scope""#),
        ("R04", vec![good.clone(), good], Code::Internal, r#"error="invalid_request""#),
    ]
}

#[test]
fn a_call_that_is_refused_reaches_no_method_and_finds_the_challenge_in_the_metadata() {
    for guards in [Guards::TheServer, Guards::TheService] {
        let world = World::new();
        let served = Served::new(&world, guards);
        let good = [bearer_of(world.token().subject("alice"))];
        assert_eq!(served.greet(&good).unwrap(), "alice", "{guards:?}");
        assert_eq!(world.inner.calls(), 1, "{guards:?}");
        for (row, fields, _, challenge) in refusals(&world) {
            let status = served.greet(&fields).unwrap_err();
            let told = status.metadata().get("www-authenticate").unwrap().to_str().unwrap();
            assert!(told.starts_with(r#"Bearer realm=""#) && told.contains(challenge), "{guards:?} {row} {told}");
            assert_eq!(world.inner.calls(), 1, "R18 {guards:?} {row}");
        }
    }
}

#[test]
fn a_refusal_has_the_code_that_grpc_has_for_it() {
    for guards in [Guards::TheServer, Guards::TheService] {
        let world = World::new();
        let served = Served::new(&world, guards);
        for (row, fields, code, _) in refusals(&world) {
            let status = served.greet(&fields).unwrap_err();
            assert_eq!(status.code(), code, "{guards:?} {row} {status:?}");
        }
    }
    let world = World::cold();
    world.issuer.script(Fault::disconnect());
    let status = Served::new(&world, Guards::TheServer).greet(&[bearer_of(world.token())]).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

#[test]
fn a_call_waits_for_the_keys_and_is_told_when_to_come_again_where_there_are_none() {
    let world = World::cold();
    world.issuer.script(Fault::disconnect());
    let served = Served::new(&world, Guards::TheServer);
    let good = [bearer_of(world.token().subject("alice"))];
    let status = served.greet(&good).unwrap_err();
    assert_eq!(status.metadata().get("retry-after").unwrap(), "2", "the next try, and a second for it");
    assert!(status.metadata().get("www-authenticate").is_none());
    assert_eq!(world.inner.calls(), 0, "R18");

    world.issuer.recover();
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(served.greet(&good).unwrap(), "alice");
}
