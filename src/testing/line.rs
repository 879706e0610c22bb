//! A connection that can be reset instead of closed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The connection. Its server owns it, and drops it.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    is_cut: Arc<AtomicBool>,
}

/// What decides how a connection will end, for whoever does not own it.
#[derive(Clone, Debug)]
pub(super) struct Scissors(Arc<AtomicBool>);

impl Line {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, is_cut: Arc::default() }
    }

    pub(super) fn scissors(&self) -> Scissors {
        Scissors(Arc::clone(&self.is_cut))
    }
}

impl Scissors {
    /// Once its server drops it, the connection is reset.
    pub(super) fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.is_cut.load(Ordering::Relaxed) {
            // A socket that does not linger is reset when it is closed. One that cannot be told so is closed.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, octets)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
