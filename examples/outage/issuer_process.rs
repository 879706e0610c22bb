//! The issuer, in a process of its own: a line in, a line out. It ends with its parent, who holds its standard input.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use scopegate::Algorithm;
use scopegate::testing::{TestClock, TestIssuer};

use crate::Failure;
use crate::world::{API, START};

/// What makes this program the issuer.
pub(crate) const ARGUMENT: &str = "--be-the-issuer";

/// The issuer's end.
pub(crate) fn serve(identifier: &str) -> Result<(), Failure> {
    let clock = TestClock::at(START);
    let issuer = TestIssuer::on_loopback_as(identifier, [Algorithm::Ed25519])?.clock(&clock).default_audience(API);
    let address = issuer.address().ok_or("it does not listen")?;
    let mut out = std::io::stdout();
    writeln!(out, "{address}")?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let (word, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let seconds = Duration::from_secs(number.parse()?);
        let mut answer = String::new();
        match word {
            "advance" => clock.advance(seconds),
            "rotate" => issuer.rotate(),
            "ahead" => issuer.publish_ahead(),
            "newest" => issuer.sign_with_newest(),
            "retire" => issuer.retire_oldest(),
            "mint" => answer = issuer.token().scope("read").lifetime(seconds).mint(),
            _ => return Err(format!("the issuer does not know {word:?}").into()),
        }
        writeln!(out, "{answer}")?;
    }
    Ok(())
}

/// The other end.
pub(crate) struct IssuerProcess {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl IssuerProcess {
    pub(crate) fn start(identifier: &str) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args([ARGUMENT, identifier]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().ok_or("no way to the issuer")?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no way from the issuer")?);
        let address = read(&mut output)?.parse()?;
        Ok(Self { child, input, output, address })
    }

    /// Tells it something; says what it answers.
    pub(crate) fn tell(&mut self, line: &str) -> Result<String, Failure> {
        writeln!(self.input, "{line}")?;
        read(&mut self.output)
    }
}

impl Drop for IssuerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(from: &mut BufReader<ChildStdout>) -> Result<String, Failure> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err("the issuer's process is gone".into());
    }
    Ok(line.trim_end().to_owned())
}
