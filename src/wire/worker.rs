//! A thread that runs what must come to its end whether or not somebody still waits for it.
//!
//! A program that has sent a refresh token has to read the answer: the server may have put another in its place (RFC 6749 s6). So an
//! exchange does not belong to the request that caused it, and whoever drops the future cancels nothing. It also makes the exchange
//! work under any executor, and keeps its connections when a runtime of the program ends.
//!
//! 1. The thread is started when something is first to be run, one for each process.
//! 2. It ends when the last handle is dropped and what was begun has come to its end, or after [`PATIENCE`].
//! 3. What panics ends alone.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::process;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::wire::fetch::FetchError;
use crate::wire::per_process::PerProcess;

/// How long what was begun may go on when nobody is left.
const PATIENCE: Duration = Duration::from_secs(10);

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The near end.
pub(crate) struct Worker(PerProcess<Mutex<Option<mpsc::UnboundedSender<Job>>>>);

impl Worker {
    pub(crate) const fn new() -> Self {
        Self(PerProcess::new())
    }

    /// Runs it on the thread, and waits for what comes of it.
    ///
    /// # Errors
    /// If the system refuses the thread, or the task panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, FetchError> {
        let (answer, answered) = oneshot::channel();
        self.start(Box::pin(async move {
            // Nobody may be waiting.
            let _ = answer.send(task.await);
        }))?;
        answered.await.map_err(|_| FetchError::other("the exchange panicked"))
    }

    /// Runs it on the thread, and does not wait.
    pub(crate) fn start(&self, mut job: Job) -> Result<(), FetchError> {
        let post = self.0.get_or_make(process::id(), || Mutex::new(None));
        let mut post = post.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*post {
            match open.send(job) {
                Ok(()) => return Ok(()),
                // The thread is gone, which only its runtime's panic can bring about.
                Err(back) => job = back.0,
            }
        }
        let open = begin().map_err(FetchError::other)?;
        let sent = open.send(job).map_err(|_| FetchError::other("the thread ended at once"));
        *post = Some(open);
        sent
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

fn begin() -> std::io::Result<mpsc::UnboundedSender<Job>> {
    let (post, mut jobs) = mpsc::unbounded_channel::<Job>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let work = async move {
        // Every task holds one end; when the last is gone, so is the channel.
        let (alive, mut ended) = mpsc::channel::<Infallible>(1);
        while let Some(job) = jobs.recv().await {
            let alive = alive.clone();
            tokio::spawn(async move {
                job.await;
                drop(alive);
            });
        }
        drop(alive);
        let _ = tokio::time::timeout(PATIENCE, ended.recv()).await;
    };
    thread::Builder::new().name("scopegate-client".to_owned()).spawn(move || {
        runtime.block_on(work);
        // A resolver that hangs holds no thread of ours.
        runtime.shutdown_background();
    })?;
    Ok(post)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_was_begun_comes_to_its_end_though_nobody_waits_and_nobody_is_left() {
        let (told, heard) = std::sync::mpsc::channel();
        let (go, gone) = oneshot::channel::<()>();
        let worker = Arc::new(Worker::new());
        let mut waiting = Box::pin(worker.run(async move {
            let _ = gone.await;
            told.send(7).unwrap();
        }));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        drop(waiting);
        drop(worker);
        go.send(()).unwrap();
        assert_eq!(heard.recv(), Ok(7));
    }

    #[test]
    fn a_panic_is_an_error_and_the_next_task_runs() {
        let worker = Worker::new();
        let failed = futures_executor::block_on(worker.run(async { panic!("as it is meant to") }));
        let failed: Result<(), _> = failed;
        assert_eq!(failed.unwrap_err().label(), "other");
        assert_eq!(futures_executor::block_on(worker.run(async { 7 })).unwrap(), 7);
    }
}
