//! What lives are made of: two issuers on a network that obeys chance, and tokens that are minted once for all lives.

#![cfg(test)]

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use tokio::sync::oneshot;

use crate::jose::base64url;
use crate::keys::refresh::jitter::Jitter;
use crate::wire::fetch::{Fetch, FetchError, FetchLimits, Fetching};

pub(super) const ISSUERS: [&str; 2] = ["https://a.example.com", "https://b.example.com"];
/// Whom nobody trusts.
const STRANGER: &str = "https://c.example.com";
pub(super) const API: &str = "https://api.example.com";
/// Names that an issuer gives to its keys, and key pairs that it has.
pub(super) const NAMES: usize = 3;
pub(super) const PAIRS: usize = 3;
/// When lives begin, and when their tokens end, in milliseconds.
pub(super) const BEGIN: i64 = 1_800_000_000_000;
const ENDS: [i64; 2] = [BEGIN + 1_000_000, BEGIN + 1_000_000_000_000];

/// A name, and the key pair that has it: a name may be given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: usize,
    pub(super) pair: usize,
}

/// Not one of the issuer's own: a key pair of the other issuer.
pub(super) const FOREIGN: usize = PAIRS;

/// A token, and what is true of it.
#[derive(Clone, Debug)]
pub(super) struct Presented {
    pub(super) issuer: usize,
    /// By which key it says it was signed, and by which it was; `None` where it names one that nobody ever had.
    pub(super) key: Option<Key>,
    pub(super) ends: i64,
    pub(super) text: Arc<str>,
}

pub(super) struct Pool {
    /// By issuer, name and pair.
    jwks: Vec<String>,
    /// The same, and when they end.
    tokens: Vec<Presented>,
    pub(super) stranger: String,
}

/// Signing costs more than a step of a life, so it is done once.
pub(super) static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let pairs: Vec<_> = (0..ISSUERS.len() * PAIRS).map(|_| Ed25519KeyPair::generate().unwrap()).collect();
    let (mut jwks, mut tokens) = (Vec::new(), Vec::new());
    for issuer in 0..ISSUERS.len() {
        for name in 0..NAMES {
            for pair in 0..=PAIRS {
                let other = 1 - issuer;
                let signing = if pair == FOREIGN { &pairs[other * PAIRS] } else { &pairs[issuer * PAIRS + pair] };
                let x = base64url::encode(signing.public_key().as_ref());
                jwks.push(format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"k-{name}","x":"{x}"}}"#));
                for ends in ENDS {
                    let text = minted(signing, ISSUERS[issuer], name, ends).into();
                    tokens.push(Presented { issuer, key: Some(Key { name, pair }), ends, text });
                }
            }
        }
    }
    let stranger = minted(&pairs[0], STRANGER, 0, ENDS[1]);
    Pool { jwks, tokens, stranger }
});

fn minted(signing: &Ed25519KeyPair, issuer: &str, name: usize, ends: i64) -> String {
    let header = format!(r#"{{"alg":"Ed25519","typ":"at+jwt","kid":"k-{name}"}}"#);
    let end = ends / 1000;
    let claims = format!(
        r#"{{"iss":"{issuer}","aud":"{API}","sub":"s","client_id":"c","jti":"j","iat":1700000000,"exp":{end}}}"#
    );
    let input = format!("{}.{}", base64url::encode(header.as_bytes()), base64url::encode(claims.as_bytes()));
    let signature = signing.sign(input.as_bytes());
    format!("{input}.{}", base64url::encode(signature.as_ref()))
}

impl Pool {
    fn place(issuer: usize, key: Key) -> usize {
        (issuer * NAMES + key.name) * (PAIRS + 1) + key.pair
    }

    /// By this key, for long or for a quarter of an hour.
    pub(super) fn token(&self, issuer: usize, key: Key, is_long: bool) -> Presented {
        self.tokens[Self::place(issuer, key) * 2 + usize::from(is_long)].clone()
    }

    /// By a key of which nobody has ever heard.
    pub(super) fn junk(&self, issuer: usize, number: u64) -> Presented {
        let good = self.token(issuer, Key { name: 0, pair: 0 }, true);
        let header = format!(r#"{{"alg":"Ed25519","typ":"at+jwt","kid":"junk-{number}"}}"#);
        let (_, rest) = good.text.split_once('.').unwrap();
        Presented { key: None, text: format!("{}.{rest}", base64url::encode(header.as_bytes())).into(), ..good }
    }

    fn document(&self, issuer: usize, version: usize, keys: &[Key]) -> String {
        let keys: Vec<&str> = keys.iter().map(|key| self.jwks[Self::place(issuer, *key)].as_str()).collect();
        format!(r#"{{"version":{version},"keys":[{}]}}"#, keys.join(","))
    }
}

/// Which of its issuer's key sets a document is.
pub(super) fn version(document: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(document).unwrap().strip_prefix(r#"{"version":"#)?;
    text.split(',').next()?.parse().ok()
}

/// One issuer, as it really is.
#[derive(Debug)]
pub(super) struct Server {
    /// Every key set that it ever had; the last counts.
    pub(super) sets: Vec<Vec<Key>>,
    pub(super) is_up: bool,
    /// Whether it fails now and then though it is up.
    pub(super) is_moody: bool,
    pub(super) lifetime: u64,
    chance: Jitter,
}

impl Server {
    pub(super) fn keys(&self) -> &[Key] {
        self.sets.last().unwrap()
    }

    /// What it says, decided when it is asked and heard later.
    fn answer(&mut self, issuer: usize, tag: Option<&str>) -> Answer {
        let mood = self.chance.below(12);
        let respond = http::Response::builder;
        if !self.is_up || self.is_moody && mood < 2 {
            return match mood {
                0 | 5 => Err(FetchError::other("gone")),
                1 | 6 => Ok(respond().status(503).header(RETRY_AFTER, "7").body(Bytes::new()).unwrap()),
                _ => Ok(respond().header(CONTENT_TYPE, "application/json").body("<html>".into()).unwrap()),
            };
        }
        let version = self.sets.len() - 1;
        let own = format!("\"{version}\"");
        if tag == Some(own.as_str()) {
            return Ok(respond().status(304).body(Bytes::new()).unwrap());
        }
        let answer = respond().header(CONTENT_TYPE, "application/json").header(ETAG, own);
        let answer = answer.header(CACHE_CONTROL, format!("max-age={}", self.lifetime));
        Ok(answer.body(POOL.document(issuer, version, self.keys()).into()).unwrap())
    }
}

type Answer = Result<http::Response<Bytes>, FetchError>;

/// The way to the issuers. Whatever is asked lies here until chance lets its answer go.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) servers: Mutex<[Server; 2]>,
    letters: Mutex<Vec<Letter>>,
    /// Whether anybody else was asked. A panic there would be taken for a failed fetch.
    pub(super) is_astray: AtomicBool,
}

#[derive(Debug)]
struct Letter {
    issuer: usize,
    answer: Answer,
    /// Heard much later than others, it may be after the answer to a question of later.
    is_slow: bool,
    way: oneshot::Sender<Answer>,
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        let server = |issuer: u64| Server {
            sets: vec![vec![Key { name: 0, pair: 0 }]],
            is_up: true,
            is_moody: true,
            lifetime: 300,
            chance: Jitter(seed.rotate_left(17) ^ issuer),
        };
        Self {
            servers: Mutex::new([server(1), server(2)]),
            letters: Mutex::default(),
            is_astray: AtomicBool::default(),
        }
    }

    /// Lets go of those that are chosen, an issuer's own in the order in which they were asked.
    pub(super) fn let_go(&self, mut is_chosen: impl FnMut(bool) -> bool) {
        let mut letters = self.letters.lock().unwrap();
        // Which of two issuers was asked first is not for chance to say twice.
        letters.sort_by_key(|letter| letter.issuer);
        for letter in mem::take(&mut *letters) {
            if is_chosen(letter.is_slow) {
                let _ = letter.way.send(letter.answer);
            } else {
                letters.push(letter);
            }
        }
    }
}

impl Fetch for Network {
    fn fetch(&self, request: http::Request<Bytes>, _: FetchLimits) -> Fetching<'_> {
        let url = request.uri().to_string();
        let Some(issuer) = ISSUERS.iter().position(|issuer| url.strip_prefix(issuer) == Some("/keys")) else {
            self.is_astray.store(true, Ordering::Relaxed);
            return Box::pin(std::future::ready(Err(FetchError::other("nobody knows this place"))));
        };
        let tag = request.headers().get(IF_NONE_MATCH).map(|tag| tag.to_str().unwrap());
        let server = &mut self.servers.lock().unwrap()[issuer];
        let (answer, is_slow) = (server.answer(issuer, tag), server.chance.below(4) == 0);
        let (way, arrival) = oneshot::channel();
        self.letters.lock().unwrap().push(Letter { issuer, answer, is_slow, way });
        Box::pin(async move { arrival.await.unwrap_or_else(|_| Err(FetchError::other("the life is over"))) })
    }
}
