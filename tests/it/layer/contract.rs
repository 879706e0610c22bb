//! The contract of tower: readiness, clones, errors; any body, any thread.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use bytes::Buf;
use hyper::body::{Body, Frame, SizeHint};

use super::*;

/// What all clones of a [`Probe`] share.
#[derive(Debug, Default)]
struct Log {
    made: AtomicUsize,
    not_ready_yet: AtomicUsize,
    broken: AtomicBool,
    called: Mutex<Vec<usize>>,
}

/// A service that knows which clone it is, and whether it was made ready.
#[derive(Debug)]
struct Probe {
    log: Arc<Log>,
    name: usize,
    ready: bool,
}

impl Probe {
    fn new(log: &Arc<Log>) -> Self {
        Self { log: Arc::clone(log), name: log.made.fetch_add(1, Ordering::SeqCst), ready: false }
    }
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        Self::new(&self.log)
    }
}

impl Service<Request<()>> for Probe {
    type Response = Response<Full<Bytes>>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.log.broken.load(Ordering::SeqCst) {
            return Poll::Ready(Err("broken"));
        }
        let counted =
            self.log.not_ready_yet.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if counted.is_ok() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "R19 clone {} was called and not made ready", self.name);
        self.log.called.lock().unwrap().push(self.name);
        ready(Ok(Response::new(Full::default())))
    }
}

fn polled<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(std::task::Waker::noop()))
}

#[test]
fn r19_readiness_is_the_inner_services() {
    let (world, log) = (World::new(), Arc::new(Log::default()));
    let mut service = world.read().layer(Probe::new(&log));
    log.not_ready_yet.store(2, Ordering::SeqCst);
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(service.poll_ready(&mut context).is_pending(), "R19");
    assert!(service.poll_ready(&mut context).is_pending(), "R19");
    assert_eq!(service.poll_ready(&mut context), Poll::Ready(Ok(())), "R19");
    log.broken.store(true, Ordering::SeqCst);
    assert_eq!(service.poll_ready(&mut context), Poll::Ready(Err("broken")), "R19");
}

#[test]
fn r19_what_was_made_ready_is_called_and_nothing_is_cloned_where_nobody_waits() {
    let (world, log) = (World::new(), Arc::new(Log::default()));
    let mut service = world.read().layer(Probe::new(&log));
    for _ in 0..3 {
        let response = block_on(async { service.ready().await?.call(bearer(world.token())).await }).unwrap();
        assert_eq!(response.status(), 200);
        let response = block_on(async { service.ready().await?.call(get(&[])).await }).unwrap();
        assert_eq!(response.status(), 401);
    }
    assert_eq!(*log.called.lock().unwrap(), [0, 0, 0], "R19");
    assert_eq!(log.made.load(Ordering::SeqCst), 1, "R19 no clone on the common path");
}

#[test]
fn r19_what_was_made_ready_is_called_after_waiting_too() {
    let (world, log) = (World::cold(), Arc::new(Log::default()));
    let mut service = world.read().layer(Probe::new(&log));
    let mut first = Box::pin(block_on(service.ready()).unwrap().call(bearer(world.token())));
    assert!(polled(first.as_mut()).is_pending(), "R19");
    // Meanwhile the service takes other requests, by a clone that it makes ready itself.
    let mut second = Box::pin(block_on(service.ready()).unwrap().call(bearer(world.token())));
    assert!(polled(second.as_mut()).is_pending(), "R19");
    let dropped = Box::pin(block_on(service.ready()).unwrap().call(bearer(world.token())));
    drop(dropped);
    let refused = block_on(async { service.ready().await?.call(get(&[])).await }).unwrap();
    assert_eq!(refused.status(), 401, "R19 nobody waits to be refused");
    assert!(log.called.lock().unwrap().is_empty(), "R19");

    world.keys_arrive();
    assert_eq!(block_on(second).unwrap().status(), 200, "R19");
    assert_eq!(block_on(first).unwrap().status(), 200, "R19");
    let third = block_on(async { service.ready().await?.call(bearer(world.token())).await }).unwrap();
    assert_eq!(third.status(), 200, "R19");
    assert_eq!(*log.called.lock().unwrap(), [1, 0, 3], "R19 each the one that was made ready for it");
}

#[test]
fn r19_clones_are_made_ready_each_for_itself() {
    let (world, log) = (World::new(), Arc::new(Log::default()));
    let service = world.read().layer(Probe::new(&log));
    let mut clones: Vec<_> = (0..100).map(|_| service.clone()).collect();
    for clone in &mut clones {
        assert!(block_on(clone.ready()).is_ok());
    }
    for mut clone in clones {
        assert_eq!(block_on(clone.call(bearer(world.token()))).unwrap().status(), 200, "R19");
    }
    assert_eq!(*log.called.lock().unwrap(), (1..=100).collect::<Vec<_>>(), "R19");
}

#[test]
fn an_error_of_the_inner_service_is_passed_on() {
    for world in [World::new(), World::cold()] {
        let failing = tower::service_fn(async |_: Request<()>| Err::<Response<Full<Bytes>>, _>("of its own"));
        let mut answer = Box::pin(world.read().layer(failing).oneshot(bearer(world.token())));
        let answered = match polled(answer.as_mut()) {
            Poll::Ready(answered) => answered,
            Poll::Pending => {
                world.keys_arrive();
                block_on(answer)
            }
        };
        assert_eq!(answered.err(), Some("of its own"));
    }
}

/// A request body that has no trait at all, and does not leave its thread.
struct Opaque(Rc<Cell<u32>>);

/// A piece of a body that is not `Bytes`.
struct Piece(Bytes);

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.0.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.0.chunk()
    }

    fn advance(&mut self, by: usize) {
        self.0.advance(by);
    }
}

/// A response body without `Default` or `From`, with two pieces and trailers.
struct Stubborn {
    frames: std::vec::IntoIter<Frame<Piece>>,
    _stays_here: Rc<()>,
}

impl Stubborn {
    fn new() -> Self {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let piece = |text: &'static str| Frame::data(Piece(Bytes::from_static(text.as_bytes())));
        let frames = vec![piece("one "), piece("two"), Frame::trailers(trailers)];
        Self { frames: frames.into_iter(), _stays_here: Rc::new(()) }
    }
}

impl Body for Stubborn {
    type Data = Piece;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Poll::Ready(self.frames.next().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(7)
    }
}

/// A service of one thread, whose future stays there.
fn local(
    seen: &Rc<Cell<u32>>,
) -> impl Service<
    Request<Opaque>,
    Response = Response<Stubborn>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Stubborn>, Infallible>> + use<>,
> + Clone
+ use<> {
    let seen = Rc::clone(seen);
    tower::service_fn(move |request: Request<Opaque>| {
        let (seen, kept) = (Rc::clone(&seen), Rc::clone(&request.body().0));
        async move {
            std::future::ready(()).await;
            seen.set(seen.get().wrapping_add(kept.get()));
            Ok(Response::new(Stubborn::new()))
        }
    })
}

fn opaque(token: TestToken) -> Request<Opaque> {
    bearer(token).map(|()| Opaque(Rc::new(Cell::new(1))))
}

#[test]
fn any_body_goes_in_and_any_body_comes_out_as_it_is() {
    let (world, seen) = (World::new(), Rc::default());
    let service = world.read().layer(local(&seen));
    let accepted = block_on(service.clone().oneshot(opaque(world.token()))).unwrap().into_body();
    assert_eq!(accepted.size_hint().exact(), Some(7));
    assert!(!accepted.is_end_stream());
    let collected = block_on(accepted.collect()).unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "one two");
    assert_eq!(seen.get(), 1);

    let refused = block_on(service.oneshot(opaque(world.token().expired()))).unwrap();
    assert_eq!(refused.status(), 401);
    let body = refused.into_body();
    let announced = body.size_hint().exact().unwrap();
    assert!(!body.is_end_stream());
    let bytes = block_on(body.collect()).unwrap().to_bytes();
    assert!(u64::try_from(bytes.len()).is_ok_and(|length| length == announced && length > 0));
    assert_eq!(seen.get(), 1);
}

#[test]
fn services_and_futures_that_stay_on_their_thread_are_guarded_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for world in [World::new(), World::cold()] {
        let seen = Rc::default();
        let service = world.read().layer(local(&seen));
        let request = opaque(world.token());
        let task = tokio::task::LocalSet::new();
        let answer = task.spawn_local(service.oneshot(request));
        let response = runtime.block_on(task.run_until(async {
            tokio::task::yield_now().await;
            if !answer.is_finished() {
                world.keys_arrive();
            }
            answer.await
        }));
        assert_eq!(response.unwrap().unwrap().status(), 200);
        assert_eq!(seen.get(), 1);
    }
}

#[test]
fn what_can_be_sent_can_be_sent_with_a_guard_before_it() {
    fn may_travel<T: Send + Sync + Clone + 'static>(value: T) -> T {
        value
    }
    fn future_may_travel<T: Send + 'static>(value: T) -> T {
        value
    }
    let world = World::cold();
    let service = may_travel(may_travel(world.read()).layer(world.inner.clone()));
    let answer = future_may_travel(service.oneshot(bearer(world.token())));
    let answer = std::thread::spawn(|| block_on(answer).unwrap().status());
    world.keys_arrive();
    assert_eq!(answer.join().unwrap(), 200);
}
