//! How a real issuer is asked about its tokens, as the command line says it.

use std::time::Duration;
use std::{env, fs};

use scopegate::{Algorithm, ClientAuth, ClientKey, ClientSecret, Introspection};

use crate::arguments::Flags;

/// Where, as whom, and what is made of the answers.
pub(crate) struct Asking {
    /// `None` where the metadata says it.
    endpoint: Option<String>,
    pub(crate) order: Order,
    auth: ClientAuth,
    remember: Option<Duration>,
    is_signed: bool,
    signed_for: Option<String>,
    draft_audience: bool,
    absent: Vec<String>,
}

/// Whose word counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The issuer's alone.
    IssuerAlone,
    /// That of its keys, and then its own.
    KeysFirst,
}

impl Asking {
    /// Takes what concerns it from the flags; nothing if the issuer is not to be asked.
    pub(crate) fn read(flags: &mut Flags) -> Result<Option<Self>, String> {
        let (place, order) = match (flags.text("--introspect"), flags.text("--and-introspect")) {
            (None, None) => return Ok(None),
            (Some(place), None) => (place, Order::IssuerAlone),
            (None, Some(place)) => (place, Order::KeysFirst),
            (Some(_), Some(_)) => return wrong("--introspect and --and-introspect exclude each other"),
        };
        let remember = match flags.text("--remember").map(|text| text.parse()) {
            None => None,
            Some(Ok(seconds)) => Some(Duration::from_secs(seconds)),
            Some(Err(_)) => return wrong("--remember is a number of seconds"),
        };
        let absent = flags.text("--accept-absent").unwrap_or_default();
        let absent: Vec<_> = absent.split(',').filter(|claim| !claim.is_empty()).map(str::to_owned).collect();
        if absent.iter().any(|claim| !["issuer", "audience"].contains(&claim.as_str())) {
            return wrong("--accept-absent knows issuer and audience");
        }
        Ok(Some(Self {
            endpoint: Some(place).filter(|place| place != "discover"),
            order,
            auth: auth(flags)?,
            remember,
            is_signed: flags.is_given("--signed"),
            signed_for: flags.text("--signed-for"),
            draft_audience: flags.is_given("--draft-audience"),
            absent,
        }))
    }

    pub(crate) fn introspection(&self) -> Introspection {
        let mut asked = match &self.endpoint {
            Some(url) => Introspection::at(url, self.auth.clone()),
            None => Introspection::discover(self.auth.clone()),
        };
        if let Some(age) = self.remember {
            asked = asked.remember(age);
        }
        if self.is_signed {
            asked = asked.signed();
        }
        if let Some(audience) = &self.signed_for {
            asked = asked.signed_for(audience);
        }
        if self.draft_audience {
            asked = asked.dangerous().accept_draft_audience();
        }
        for claim in &self.absent {
            let dangerous = asked.dangerous();
            asked =
                if claim == "issuer" { dangerous.accept_absent_issuer() } else { dangerous.accept_absent_audience() };
        }
        asked
    }

    /// Where it is asked, for the screen.
    pub(crate) fn place(&self) -> &str {
        self.endpoint.as_deref().unwrap_or("where its metadata says")
    }
}

/// How the API proves who it is.
fn auth(flags: &mut Flags) -> Result<ClientAuth, String> {
    let how = flags.text("--auth").unwrap_or_else(|| "basic".to_owned());
    if how == "bearer" {
        return Ok(ClientAuth::bearer(secret(flags)?));
    }
    let Some(client) = flags.text("--client") else { return wrong("--introspect needs --client: who asks") };
    Ok(match how.as_str() {
        "basic" => ClientAuth::basic(client, secret(flags)?),
        "post" => ClientAuth::post(client, secret(flags)?),
        "secret-jwt" => ClientAuth::secret_jwt(client, secret(flags)?),
        "private-key-jwt" => ClientAuth::private_key_jwt(client, key(flags)?),
        "certificate" => ClientAuth::certificate(client),
        other => return wrong(&format!("--auth does not know {other:?}")),
    })
}

/// From the environment or a file, and never from the command line, which every user of the machine can read.
fn secret(flags: &mut Flags) -> Result<ClientSecret, String> {
    match (flags.text("--secret-env"), flags.text("--secret-file")) {
        (Some(name), None) => match env::var(&name) {
            Ok(secret) => Ok(ClientSecret::new(secret)),
            Err(_) => wrong(&format!("--secret-env: there is no text in {name}")),
        },
        // A callback, so that a secret that is replaced is found without a restart.
        (None, Some(file)) => Ok(ClientSecret::asked(move || fs::read_to_string(&file))),
        _ => wrong("this --auth needs either --secret-env or --secret-file"),
    }
}

fn key(flags: &mut Flags) -> Result<ClientKey, String> {
    let (Some(file), Some(name)) = (flags.text("--key-file"), flags.text("--key-alg")) else {
        return wrong("--auth private-key-jwt needs --key-file and --key-alg");
    };
    let Some(algorithm) = Algorithm::from_name(&name) else {
        return wrong(&format!("--key-alg does not know {name:?}"));
    };
    let pem = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    ClientKey::from_pem(algorithm, &pem, flags.text("--kid").as_deref()).map_err(|error| error.to_string())
}

fn wrong<T>(problem: &str) -> Result<T, String> {
    Err(problem.to_owned())
}
