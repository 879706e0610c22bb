//! The command line, read by hand: a handful of flags does not earn a dependency.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};

use scopegate::Profile;

/// What the program is asked to do.
pub(crate) enum Run {
    Help,
    Demo { listen: SocketAddr },
    SelfTest { listen: SocketAddr },
    Guard { listen: SocketAddr, server: Server },
}

/// A real issuer, and what its tokens look like.
pub(crate) struct Server {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    /// Where its keys are, for an issuer without discovery.
    pub(crate) jwks: Option<String>,
    pub(crate) profile: Profile,
}

pub(crate) const HELP: &str = "\
An API that is guarded by scope. GET /things needs things:read, POST /things needs things:write, GET /me needs any
accepted token and shows its claims, GET /health is open.

usage:
  guarded_api [--listen ADDR]                starts an issuer and the API on loopback, and says what to try
  guarded_api --self-test [--listen ADDR]    sends the requests itself; exits with 0 only if every answer is as expected
  guarded_api --issuer URL --audience URI [--jwks URL] [--plain-jwt] [--listen ADDR]
                                             guards the API with the tokens of a real issuer

  --issuer URL      the issuer, exactly as its tokens name it (`iss`); https, or http on loopback
  --audience URI    this API, exactly as the tokens name it (`aud`)
  --jwks URL        where the issuer's key set is, if the issuer has no metadata document that says so
  --plain-jwt       accept JWTs that do not follow RFC 9068: `typ` JWT or none, fewer claims
  --listen ADDR     address and port of the API; 127.0.0.1:0 unless given, where 0 is any free port
  --help            this text

A token is sent as `Authorization: Bearer TOKEN`. Arguments that make no sense end the program with code 2.
";

#[derive(Default)]
struct Flags {
    self_test: Option<()>,
    plain_jwt: Option<()>,
    issuer: Option<String>,
    audience: Option<String>,
    jwks: Option<String>,
    listen: Option<String>,
}

/// Reads the arguments, or says what is wrong with them.
pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Result<Run, String> {
    let mut arguments = arguments
        .map(|argument| argument.into_string().map_err(|argument| format!("not text: {}", argument.display())));
    let mut flags = Flags::default();
    while let Some(argument) = arguments.next() {
        let argument = argument?;
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        let (switch, text) = match name {
            "--help" | "-h" => return Ok(Run::Help),
            "--self-test" => (Some(&mut flags.self_test), None),
            "--plain-jwt" => (Some(&mut flags.plain_jwt), None),
            "--issuer" => (None, Some(&mut flags.issuer)),
            "--audience" => (None, Some(&mut flags.audience)),
            "--jwks" => (None, Some(&mut flags.jwks)),
            "--listen" => (None, Some(&mut flags.listen)),
            other => return Err(format!("unknown argument {other:?}")),
        };
        let twice = match (switch, text) {
            (Some(_), _) if inline.is_some() => return Err(format!("{name} takes no value")),
            (Some(switch), _) => switch.replace(()).is_some(),
            (None, Some(text)) => text.replace(value(name, inline, &mut arguments)?).is_some(),
            (None, None) => false,
        };
        if twice {
            return Err(format!("{name} was given twice"));
        }
    }
    flags.together()
}

/// What follows a flag, after `=` or as the next argument.
fn value(
    name: &str,
    inline: Option<String>,
    rest: &mut impl Iterator<Item = Result<String, String>>,
) -> Result<String, String> {
    let value = inline.map_or_else(|| rest.next().unwrap_or_else(|| Ok(String::new())), Ok)?;
    if value.is_empty() || value.starts_with("--") { Err(format!("{name} needs a value")) } else { Ok(value) }
}

impl Flags {
    fn together(self) -> Result<Run, String> {
        let listen = match &self.listen {
            Some(text) => text
                .parse()
                .map_err(|_| format!("--listen {text:?} is not an address with a port, such as 127.0.0.1:3000"))?,
            None => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        let profile = if self.plain_jwt.is_some() { Profile::PlainJwt } else { Profile::Rfc9068 };
        match (self.issuer, self.audience, self.self_test) {
            (Some(_), _, Some(())) => {
                Err("--self-test has an issuer of its own, so --issuer makes no sense".to_owned())
            }
            (Some(issuer), Some(audience), None) => {
                Ok(Run::Guard { listen, server: Server { issuer, audience, jwks: self.jwks, profile } })
            }
            (Some(_), None, None) => Err("--issuer needs --audience: whom the tokens are meant for".to_owned()),
            (None, audience, self_test) => {
                let needs_issuer = [
                    ("--audience", audience.is_some()),
                    ("--jwks", self.jwks.is_some()),
                    ("--plain-jwt", self.plain_jwt.is_some()),
                ];
                if let Some((name, _)) = needs_issuer.iter().find(|(_, given)| *given) {
                    return Err(format!("{name} needs --issuer"));
                }
                Ok(if self_test.is_some() { Run::SelfTest { listen } } else { Run::Demo { listen } })
            }
        }
    }
}
