//! The command line.

use scopegate::Profile;

pub(crate) const HELP: &str = "\
A site where people log in, and an API that it calls for them.

  cargo run --example tutorial -- [FLAG...]

  --port N              listen on this port of 127.0.0.1; any free one otherwise
  --self-test           walk through it all, and say what was seen
  --issuer URL          a real authorization server, which publishes its metadata
  --client-id ID        how it knows this site
  --client-secret TEXT  and by what
  --resource URI        the API that its tokens are for; http://127.0.0.1:PORT/api otherwise
  --scope TEXT          what is asked for; \"openid profile email offline_access things:read\" otherwise
  --plain-jwt           its access tokens do not follow RFC 9068
  --show-token          put the access token into the page, hidden, for tests
  --help                this text
";

const SCOPE: &str = "openid profile email offline_access things:read";

/// What to do.
pub(crate) enum Run {
    Help,
    SelfTest,
    Serve(Wanted),
}

/// What was asked for.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) port: u16,
    pub(crate) issuer: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) is_plain_jwt: bool,
    pub(crate) shows_token: bool,
}

/// What the site runs with.
pub(crate) struct Arguments {
    pub(crate) own_url: String,
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) resource: String,
    pub(crate) scope: String,
    pub(crate) profile: Profile,
    pub(crate) shows_token: bool,
}

impl Arguments {
    /// An address of this site.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.own_url)
    }
}

impl Wanted {
    /// With the address at which it listens, and the server's when it is the one of its own.
    pub(crate) fn at(self, own_url: String, issuer: String) -> Arguments {
        Arguments {
            resource: self.resource.unwrap_or_else(|| format!("{own_url}/api")),
            own_url,
            issuer,
            client_id: self.client_id.unwrap_or_else(|| "tutorial".to_owned()),
            client_secret: self.client_secret.unwrap_or_else(|| "tutorial".to_owned()),
            scope: self.scope.unwrap_or_else(|| SCOPE.to_owned()),
            profile: if self.is_plain_jwt { Profile::PlainJwt } else { Profile::Rfc9068 },
            shows_token: self.shows_token,
        }
    }
}

/// Reads `--name value` and `--name=value`.
pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Run, String> {
    let mut wanted = Wanted::default();
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        let (name, mut given) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        let mut value = || given.take().or_else(|| arguments.next()).ok_or_else(|| format!("{name} takes a value"));
        match name.as_str() {
            "--help" | "-h" => return Ok(Run::Help),
            "--self-test" => return Ok(Run::SelfTest),
            "--plain-jwt" => wanted.is_plain_jwt = true,
            "--show-token" => wanted.shows_token = true,
            "--port" => wanted.port = value()?.parse().map_err(|_| "--port takes a number".to_owned())?,
            "--issuer" => wanted.issuer = Some(value()?),
            "--client-id" => wanted.client_id = Some(value()?),
            "--client-secret" => wanted.client_secret = Some(value()?),
            "--resource" => wanted.resource = Some(value()?),
            "--scope" => wanted.scope = Some(value()?),
            _ => return Err(format!("{name} is not known")),
        }
    }
    if wanted.issuer.is_some() && (wanted.client_id.is_none() || wanted.client_secret.is_none()) {
        return Err("--issuer needs --client-id and --client-secret".to_owned());
    }
    Ok(Run::Serve(wanted))
}
