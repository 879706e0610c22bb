//! What happens, told line by line. Each line says what was expected.

use std::io::{self, Write as _};
use std::time::Duration;

use axum::http::Method;
use scopegate::Denial;
use scopegate::testing::{Endpoint, Fault};
use tokio::time::{Instant, sleep};

use crate::paint::Paint;
use crate::world::{REMEMBERED, World};
use crate::{Failure, client};

/// Plays it through; whether all was as expected.
pub(crate) async fn play(world: &World) -> Result<bool, Failure> {
    let mut story =
        Story { world, paint: Paint::for_stdout(), failed: 0, of_memory: Vec::new(), of_issuer: Vec::new() };
    writeln!(io::stdout(), "API    http://{}\nissuer {}\n", world.api, world.issuer.id())?;
    writeln!(io::stdout(), "     {:<62} {:<10} {:>9}  issuer asked", "", "answer", "judged in")?;
    story.asked_once().await?;
    story.revoked().await?;
    story.forgotten_and_denied().await?;
    story.in_trouble().await?;
    story.sum()?;
    Ok(story.failed == 0)
}

struct Story<'w> {
    world: &'w World,
    paint: Paint,
    failed: u32,
    of_memory: Vec<Duration>,
    of_issuer: Vec<Duration>,
}

struct Answer {
    status: String,
    body: String,
}

/// Whether the issuer is to be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Memory,
    Issuer,
}

impl Story<'_> {
    async fn asked_once(&mut self) -> Result<(), Failure> {
        self.chapter("A token that says nothing of itself")?;
        let token = self.world.token("alice", "things:read").mint_opaque();
        self.expect("the first call: the issuer is asked", Method::GET, &token, "200", By::Issuer).await?;
        self.expect("the second: from memory", Method::GET, &token, "200", By::Memory).await?;
        for _ in 0..200 {
            self.call(Method::GET, &token).await?;
        }
        self.expect("and after 200 more", Method::GET, &token, "200", By::Memory).await?;
        self.expect("POST needs things:write, judged from the same facts", Method::POST, &token, "403", By::Memory)
            .await?;
        self.expect("a token that nobody made", Method::GET, "nobody-made-it", "401", By::Issuer).await?;
        self.expect("the same again", Method::GET, "nobody-made-it", "401", By::Memory).await
    }

    async fn revoked(&mut self) -> Result<(), Failure> {
        self.chapter(&format!("A token that is revoked while you watch; what is known is used for {REMEMBERED:?}"))?;
        let token = self.world.token("bob", "things:read").mint_opaque();
        self.expect("a good token", Method::GET, &token, "200", By::Issuer).await?;
        let asked_at = Instant::now();
        self.world.issuer.revoke(&token);
        self.expect("revoked, and nobody has told the API", Method::GET, &token, "200", By::Memory).await?;
        let mut calls = 0_u32;
        let ended = loop {
            sleep(Duration::from_millis(100)).await;
            calls = calls.saturating_add(1);
            if self.call(Method::GET, &token).await?.status != "200"
                || asked_at.elapsed() > REMEMBERED.saturating_mul(3)
            {
                break asked_at.elapsed();
            }
        };
        let in_time = ended <= REMEMBERED.saturating_add(Duration::from_secs(1));
        self.line(
            in_time,
            &format!("after {calls} more calls"),
            &format!("refused after {:.1} s", ended.as_secs_f64()),
        )?;
        self.expect("and from then on", Method::GET, &token, "401", By::Memory).await
    }

    async fn forgotten_and_denied(&mut self) -> Result<(), Failure> {
        self.chapter("The same, where the API is told of it")?;
        let token = self.world.token("carol", "things:read").mint_opaque();
        self.expect("a good token", Method::GET, &token, "200", By::Issuer).await?;
        self.world.issuer.revoke(&token);
        self.world.validator.forget(&token);
        self.expect("revoked, and `forget` was called", Method::GET, &token, "401", By::Issuer).await?;

        let token = self.world.token("dave", "things:read").claim("sid", "session-7").mint_opaque();
        self.expect("another, of a session", Method::GET, &token, "200", By::Issuer).await?;
        let ended = Denial::session(self.world.issuer.id(), "session-7");
        let denied = self.world.validator.deny(&ended, Duration::from_secs(3600));
        denied.map_err(|full| Failure::trouble("the session could not be denied", &full))?;
        self.expect("the user has logged out: `deny` was called", Method::GET, &token, "401", By::Memory).await
    }

    async fn in_trouble(&mut self) -> Result<(), Failure> {
        self.chapter("The issuer is in trouble")?;
        let known = self.world.token("erin", "things:read").mint_opaque();
        let unknown = self.world.token("frank", "things:read").mint_opaque();
        self.expect("a good token", Method::GET, &known, "200", By::Issuer).await?;
        self.world.issuer.script(Fault::status(500).at(Endpoint::Introspection));
        self.expect("it answers 500: who is known is served on", Method::GET, &known, "200", By::Memory).await?;
        self.expect("who is not is told to come again, and not refused", Method::GET, &unknown, "503", By::Issuer)
            .await?;
        self.world.issuer.recover();
        self.expect("it is well again", Method::GET, &unknown, "200", By::Issuer).await
    }

    /// How much the issuer was spared.
    fn sum(&mut self) -> Result<(), Failure> {
        let (judged, asked) = (self.world.judged.all().len(), self.world.asked());
        let judged = u64::try_from(judged).unwrap_or(u64::MAX);
        let hits = judged.saturating_sub(asked).saturating_mul(1000).checked_div(judged).unwrap_or_default();
        let rate = format!("{}.{} %", hits.div_euclid(10), hits.rem_euclid(10));
        self.chapter("In all")?;
        self.line(
            hits > 900,
            &format!("{judged} judgements, of which {asked} asked the issuer"),
            &format!("{rate} from memory"),
        )?;
        let [memory, issuer] = [median(&self.of_memory), median(&self.of_issuer)];
        self.line(
            memory < issuer,
            "the median judgement from memory, and with the issuer asked",
            &format!("{memory:.1?}, {issuer:.1?}"),
        )
    }

    async fn call(&self, method: Method, token: &str) -> Result<Answer, Failure> {
        let seen = client::ask(self.world.api, &method, "/things", &[format!("Bearer {token}")]).await?;
        let status = seen.verdict.split(' ').next().unwrap_or_default().to_owned();
        Ok(Answer { status, body: seen.body })
    }

    async fn expect(&mut self, what: &str, method: Method, token: &str, status: &str, by: By) -> Result<(), Failure> {
        let before = self.world.asked();
        let seen = self.call(method, token).await?;
        let asked = self.world.asked().saturating_sub(before);
        let took = self.world.judged.last();
        let times = if by == By::Issuer { &mut self.of_issuer } else { &mut self.of_memory };
        times.push(took);
        let holds = seen.status == status && asked == u64::from(by == By::Issuer);
        let took = format!("{took:.1?}");
        let asked = if asked == 0 { "no".to_owned() } else { format!("yes ({})", self.world.asked()) };
        let why = if holds { String::new() } else { format!("  expected {status}: {}", seen.body.trim_end()) };
        self.line(holds, what, &format!("{:<10} {took:>9}  {asked}{why}", seen.status))
    }

    fn chapter(&self, title: &str) -> Result<(), Failure> {
        writeln!(io::stdout(), "\n{}", self.paint.bold(title))?;
        Ok(())
    }

    fn line(&mut self, holds: bool, what: &str, seen: &str) -> Result<(), Failure> {
        self.failed = self.failed.saturating_add(u32::from(!holds));
        let mark = if holds { self.paint.good("ok  ") } else { self.paint.bad("FAIL") };
        writeln!(io::stdout(), "{mark} {what:<62} {seen}")?;
        Ok(())
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().div_euclid(2)).copied().unwrap_or_default()
}
