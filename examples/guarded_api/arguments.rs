//! The command line, read by hand: a handful of flags does not earn a dependency.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};

use scopegate::Profile;

use crate::asking::Asking;

/// What the program is asked to do.
pub(crate) enum Run {
    Help,
    Demo { listen: SocketAddr },
    SelfTest { listen: SocketAddr },
    Guard { listen: SocketAddr, server: Box<Server> },
}

/// A real issuer, and what its tokens look like.
pub(crate) struct Server {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    /// Where its keys are, for an issuer without discovery.
    pub(crate) jwks: Option<String>,
    pub(crate) profile: Profile,
    /// Another issuer, whose JWTs are judged by its keys.
    pub(crate) also: Option<String>,
    /// How it is asked about its tokens, if it is.
    pub(crate) asking: Option<Asking>,
    /// The file of the certificate that is shown to it.
    pub(crate) certificate: Option<String>,
    /// The file of the authorities whose certificates it may show.
    pub(crate) authorities: Option<String>,
}

pub(crate) const HELP: &str = "\
An API that is guarded by scope. GET /things needs things:read, POST /things needs things:write, GET /me needs any
accepted token and shows its claims, GET /health is open.

usage:
  guarded_api [--listen ADDR]                starts an issuer and the API on loopback, and says what to try
  guarded_api --self-test [--listen ADDR]    sends the requests itself; exits with 0 only if every answer is as expected
  guarded_api --issuer URL --audience URI [MORE] [--listen ADDR]
                                             guards the API with the tokens of a real issuer

  --issuer URL      the issuer, exactly as its tokens name it (`iss`); https, or http on loopback
  --audience URI    this API, exactly as the tokens name it (`aud`)
  --jwks URL        where the issuer's key set is, if the issuer has no metadata document that says so
  --plain-jwt       accept JWTs that do not follow RFC 9068: `typ` JWT or none, fewer claims
  --also-trust URL  another issuer, whose JWTs are judged by its keys
  --ca FILE         the authorities, in PEM, whose certificates its hosts may show, instead of the system's
  --cert FILE       a certificate and its private key, in PEM, that is shown to its hosts
  --listen ADDR     address and port of the API; 127.0.0.1:0 unless given, where 0 is any free port
  --help            this text

to ask the issuer about its tokens (RFC 7662), which opaque ones need:
  --introspect URL|discover       it alone says what a token is worth, at this URL or where its metadata says
  --and-introspect URL|discover   JWTs are judged by its keys first; it says whether they were revoked
  --auth HOW        how the API proves who it is: basic (unless given), post, secret-jwt, private-key-jwt, certificate, bearer
  --client ID       as whom; bearer needs none
  --secret-env NAME, --secret-file FILE
                    where its secret is, or its bearer token. The file is read again when the issuer does not believe it
  --key-file FILE --key-alg ALG [--kid ID]
                    its private key (PKCS#8 in PEM), the algorithm, such as ES256, and the name by which it is known
  --remember SECS   how long an answer counts; 30 unless given
  --signed          take signed answers alone (RFC 9701)
  --signed-for AUD  whom they are made out to, if not the client
  --draft-audience  take those that are made out to the API, as a draft had it
  --accept-absent issuer|audience|issuer,audience
                    take answers that do not say these

A token is sent as `Authorization: Bearer TOKEN`. Arguments that make no sense end the program with code 2.
";

const SWITCHES: [&str; 4] = ["--self-test", "--plain-jwt", "--signed", "--draft-audience"];
const SETTINGS: [&str; 19] = [
    "--issuer",
    "--audience",
    "--jwks",
    "--also-trust",
    "--ca",
    "--cert",
    "--listen",
    "--introspect",
    "--and-introspect",
    "--auth",
    "--client",
    "--secret-env",
    "--secret-file",
    "--key-file",
    "--key-alg",
    "--kid",
    "--remember",
    "--signed-for",
    "--accept-absent",
];

/// What was given, by the names of the flags. Who makes use of a flag takes it away.
pub(crate) struct Flags(BTreeMap<&'static str, String>);

impl Flags {
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub(crate) fn is_given(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }
}

/// Reads the arguments, or says what is wrong with them.
pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Result<Run, String> {
    let mut arguments = arguments
        .map(|argument| argument.into_string().map_err(|argument| format!("not text: {}", argument.display())));
    let mut flags = Flags(BTreeMap::new());
    while let Some(argument) = arguments.next() {
        let argument = argument?;
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        if ["--help", "-h"].contains(&name) {
            return Ok(Run::Help);
        }
        let known = |names: &[&'static str]| names.iter().find(|known| **known == name).copied();
        let (name, value) = match (known(&SWITCHES), known(&SETTINGS)) {
            (Some(name), _) if inline.is_some() => return Err(format!("{name} takes no value")),
            (Some(name), _) => (name, String::new()),
            (None, Some(name)) => (name, value(name, inline, &mut arguments)?),
            (None, None) => return Err(format!("unknown argument {name:?}")),
        };
        if flags.0.insert(name, value).is_some() {
            return Err(format!("{name} was given twice"));
        }
    }
    together(flags)
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

fn together(mut flags: Flags) -> Result<Run, String> {
    let listen = match flags.text("--listen") {
        Some(text) => text
            .parse()
            .map_err(|_| format!("--listen {text:?} is not an address with a port, such as 127.0.0.1:3000"))?,
        None => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    };
    let run = match (flags.text("--issuer"), flags.is_given("--self-test")) {
        (Some(_), true) => return Err("--self-test has an issuer of its own, so --issuer makes no sense".to_owned()),
        (Some(issuer), false) => Run::Guard { listen, server: Box::new(server(issuer, &mut flags)?) },
        (None, true) => Run::SelfTest { listen },
        (None, false) => Run::Demo { listen },
    };
    match (flags.0.keys().next(), &run) {
        (None, _) => Ok(run),
        (Some(name), Run::Guard { .. }) => Err(format!("{name} makes no sense beside the others")),
        (Some(name), _) => Err(format!("{name} needs --issuer")),
    }
}

fn server(issuer: String, flags: &mut Flags) -> Result<Server, String> {
    let audience = flags.text("--audience").ok_or("--issuer needs --audience: whom the tokens are meant for")?;
    let profile = if flags.is_given("--plain-jwt") { Profile::PlainJwt } else { Profile::Rfc9068 };
    Ok(Server {
        issuer,
        audience,
        jwks: flags.text("--jwks"),
        profile,
        also: flags.text("--also-trust"),
        asking: Asking::read(flags)?,
        certificate: flags.text("--cert"),
        authorities: flags.text("--ca"),
    })
}
