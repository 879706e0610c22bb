//! What stands between the API and its issuer, and spoils what passes: the proxy of this crate, or one that runs under node.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use scopegate::testing::{Endpoint, Fault, FaultProxy};
use serde_json::{Value, json};

use crate::Failure;

/// Lies beside the repository, where its authors work.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/issuers/fault/faultproxy.mjs");
const NONSENSE: &str = "<html>we will be back soon</html>";

/// Which proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Node,
}

impl Kind {
    /// The one that is not ours too, where it can be had.
    pub(crate) fn at_hand() -> Self {
        let has_node = || Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
        if Path::new(SCRIPT).exists() && has_node() { Self::Node } else { Self::Ours }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "the proxy of scopegate::testing",
            Self::Node => "faultproxy.mjs under node",
        }
    }
}

/// What it does to the answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoil {
    Nothing,
    /// Each answer comes so much later.
    Slow(Duration),
    Garbage,
    /// Nobody listens.
    Gone,
}

pub(crate) enum Between {
    Ours(FaultProxy),
    Node(NodeProxy),
}

/// The process, and where it is told what to do.
pub(crate) struct NodeProxy {
    child: Child,
    url: String,
    control: SocketAddr,
    is_gone: Cell<bool>,
}

impl Between {
    pub(crate) fn start(kind: Kind) -> Result<Self, Failure> {
        Ok(match kind {
            Kind::Ours => Self::Ours(FaultProxy::start()?),
            Kind::Node => Self::Node(NodeProxy::start()?),
        })
    }

    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Ours(proxy) => proxy.url(),
            Self::Node(proxy) => &proxy.url,
        }
    }

    pub(crate) fn forward_to(&self, issuer: SocketAddr) -> Result<(), Failure> {
        match self {
            Self::Ours(proxy) => proxy.forward_to(issuer),
            Self::Node(proxy) => {
                proxy.tell("POST", "/upstream", &json!({ "url": format!("http://{issuer}") }))?;
            }
        }
        Ok(())
    }

    pub(crate) fn spoil(&self, spoil: Spoil) -> Result<(), Failure> {
        match self {
            Self::Ours(proxy) => {
                proxy.recover()?;
                match spoil {
                    Spoil::Nothing => {}
                    Spoil::Slow(by) => proxy.script(Fault::delay(by)),
                    Spoil::Garbage => proxy.script(Fault::body(NONSENSE).at(Endpoint::Jwks)),
                    Spoil::Gone => proxy.refuse()?,
                }
            }
            Self::Node(proxy) => {
                proxy.tell("DELETE", "/fault", &Value::Null)?;
                // It must not be told to listen where it does.
                if proxy.is_gone.replace(spoil == Spoil::Gone) {
                    proxy.tell("POST", "/up", &Value::Null)?;
                }
                match spoil {
                    Spoil::Nothing => {}
                    Spoil::Slow(by) => {
                        let millis = u64::try_from(by.as_millis())?;
                        proxy.tell("POST", "/fault", &json!({ "mode": "delay", "ms": millis }))?;
                    }
                    Spoil::Garbage => {
                        let headers = json!({ "content-type": "application/json" });
                        let rule = json!({ "path": "/jwks", "mode": "status", "status": 200, "body": NONSENSE, "headers": headers });
                        proxy.tell("POST", "/fault", &rule)?;
                    }
                    Spoil::Gone => {
                        proxy.tell("POST", "/down", &Value::Null)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// How often it was asked for what lies at this path.
    pub(crate) fn requests(&self, path: &str) -> Result<u64, Failure> {
        match self {
            Self::Ours(proxy) => Ok(proxy.requests(path)),
            Self::Node(proxy) => proxy.count(|asked| asked == path),
        }
    }

    pub(crate) fn all_requests(&self) -> Result<u64, Failure> {
        match self {
            Self::Ours(proxy) => Ok(proxy.all_requests()),
            Self::Node(proxy) => proxy.count(|_| true),
        }
    }
}

impl NodeProxy {
    fn start() -> Result<Self, Failure> {
        let mut child = Command::new("node").arg(SCRIPT).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no way from the proxy")?;
        let mut lines = BufReader::new(output).lines();
        let mut after = |word: &str| -> Result<String, Failure> {
            let line = lines.next().ok_or("the proxy did not start")??;
            Ok(line.strip_prefix(word).ok_or("the proxy said something else")?.trim().to_owned())
        };
        let url = after("PROXY")?;
        let control = after("CONTROL")?.strip_prefix("http://").ok_or("no address")?.parse()?;
        Ok(Self { child, url, control, is_gone: Cell::new(false) })
    }

    /// A request on a connection of its own, and the JSON that comes back.
    fn tell(&self, method: &str, path: &str, said: &Value) -> Result<Value, Failure> {
        let body = if said.is_null() { String::new() } else { said.to_string() };
        let mut stream = TcpStream::connect(self.control)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nhost: control\r\ncontent-length: {length}\r\n\r\n{body}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("the proxy does not speak HTTP")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        if status == "200" { Ok(serde_json::from_str(body)?) } else { Err(format!("{method} {path}: {body}").into()) }
    }

    fn count(&self, fits: impl Fn(&str) -> bool) -> Result<u64, Failure> {
        let log = self.tell("GET", "/log", &Value::Null)?;
        let paths = log.as_array().into_iter().flatten().filter_map(|entry| entry["path"].as_str());
        Ok(u64::try_from(paths.filter(|path| fits(path)).count())?)
    }
}

impl Drop for NodeProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
