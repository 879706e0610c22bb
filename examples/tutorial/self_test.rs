//! Walks through the tutorial over HTTP, as a browser without pictures would.

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Url, redirect};

use crate::arguments::Wanted;
use crate::world::World;
use crate::{Failure, app};

/// The walk. Each step says what it saw; the first that saw something else ends it.
pub(crate) async fn run() -> Result<(), Failure> {
    let World { listener, settings, issuer } =
        World::prepare(Wanted { shows_token: true, ..Wanted::default() }).await?;
    let site = settings.url("");
    let app = app(settings)?;
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let walked = walk(&site).await;
    serving.abort();
    drop(issuer);
    walked
}

async fn walk(site: &str) -> Result<(), Failure> {
    let mut browser = Browser::new()?;
    let page = browser.open(site).await?;
    page.shows("the site asks to log in", "id=\"sign-in\"")?;
    let api = browser.fetch(&format!("{site}/api/things"), None).await?;
    is("its API refuses whoever has no token", api, StatusCode::UNAUTHORIZED)?;

    let page = browser.open(&format!("{site}/login")).await?;
    page.shows("/login leads to the server's login page", "name=\"login\"")?;
    let page = browser.submit(&page, &[("login", "alice"), ("password", "anything")], "sign-in").await?;
    page.shows("which asks whether the site may", "id=\"allow\"")?;
    let page = browser.submit(&page, &[], "allow").await?;
    page.shows("/authorize comes back, and the user is shown", "Alice Adams")?;
    let token = page.inside("id=\"access-token\" hidden>", "<").ok_or("there is no token in the page")?;

    let page = browser.post(&format!("{site}/call-api"), &[]).await?;
    page.shows("the site calls the API for alice", "id=\"status\">200")?;
    page.shows("and the API knows whose token it is", "alice")?;
    let api = browser.fetch(&format!("{site}/api/things"), Some(&token)).await?;
    is("whoever has the token is let in", api, StatusCode::OK)?;

    let page = browser.post(&format!("{site}/logout"), &[]).await?;
    page.shows("logging out ends at the site again", "id=\"sign-in\"")?;
    let page = browser.open(&format!("{site}/profile")).await?;
    page.shows("where nobody is logged in", "name=\"login\"")?;
    // The server tells the site on a way of its own, which may take a moment longer.
    let mut status = StatusCode::OK;
    for _ in 0..100 {
        status = browser.fetch(&format!("{site}/api/things"), Some(&token)).await?;
        if status != StatusCode::OK {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    is("and the token is refused, though it has not ended", status, StatusCode::UNAUTHORIZED)?;
    println!("all of it was seen");
    Ok(())
}

fn is(what: &str, found: StatusCode, expected: StatusCode) -> Result<(), Failure> {
    if found == expected {
        println!("ok    {what}: {}", found.as_u16());
        Ok(())
    } else {
        Err(format!("{what}: {found}, and not {expected}").into())
    }
}

struct Page {
    url: Url,
    text: String,
}

impl Page {
    fn shows(&self, what: &str, text: &str) -> Result<(), Failure> {
        if self.text.contains(text) {
            println!("ok    {what}");
            Ok(())
        } else {
            Err(format!("{what}: the page at {} does not show {text:?}:\n{}", self.url, self.text).into())
        }
    }

    fn inside(&self, before: &str, after: &str) -> Option<String> {
        let (_, rest) = self.text.split_once(before)?;
        rest.split_once(after).map(|(inside, _)| inside.to_owned())
    }

    /// Where the form goes that holds this button, and what is hidden in it, its button included.
    fn form(&self, button: &str) -> Result<(Url, Vec<(String, String)>), Failure> {
        let holds = |form: &&str| form.contains(&format!("id=\"{button}\""));
        let form = self.text.split("<form").skip(1).find(holds).ok_or(format!("no form with the button {button}"))?;
        let attribute = |tag: &str, name: &str| {
            let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.replace("&amp;", "&"))
        };
        let head = form.split('>').next().unwrap_or_default();
        let action = attribute(head, "action").unwrap_or_default();
        let tags = form.split('<').filter(|tag| {
            tag.starts_with("input") && tag.contains("hidden") || tag.contains(&format!("id=\"{button}\""))
        });
        let fields = tags.filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?)));
        let url = if action.is_empty() { self.url.clone() } else { self.url.join(&action)? };
        Ok((url, fields.collect()))
    }
}

/// Cookies of hosts by their names, and redirects followed.
struct Browser {
    client: Client,
    cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    fn new() -> Result<Self, Failure> {
        let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().build()?;
        Ok(Self { client, cookies: BTreeMap::new() })
    }

    async fn open(&mut self, url: &str) -> Result<Page, Failure> {
        self.go(Method::GET, Url::parse(url)?, None).await
    }

    async fn post(&mut self, url: &str, form: &[(&str, &str)]) -> Result<Page, Failure> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.go(Method::POST, Url::parse(url)?, Some(body)).await
    }

    async fn submit(&mut self, page: &Page, typed: &[(&str, &str)], button: &str) -> Result<Page, Failure> {
        let (url, fields) = page.form(button)?;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(&fields).extend_pairs(typed);
        self.go(Method::POST, url, Some(form.finish())).await
    }

    /// Like a program, without cookies.
    async fn fetch(&self, url: &str, token: Option<&str>) -> Result<StatusCode, Failure> {
        let request = self.client.get(url);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        Ok(request.send().await?.status())
    }

    async fn go(&mut self, method: Method, url: Url, body: Option<String>) -> Result<Page, Failure> {
        let (mut method, mut url, mut body) = (method, url, body);
        for _ in 0..10 {
            // As browsers have it, ports do not part cookies; here they do, so that a host's are its own.
            let host = url.authority().to_owned();
            let own = self.cookies.iter().filter(|((of, _), _)| *of == host);
            let cookies: Vec<_> = own.map(|((_, name), value)| format!("{name}={value}")).collect();
            let mut request = self.client.request(method.clone(), url.clone()).header(COOKIE, cookies.join("; "));
            if let Some(body) = body.take() {
                request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
            }
            let answer = request.send().await?;
            for cookie in answer.headers().get_all(SET_COOKIE) {
                let (pair, rest) = cookie.to_str()?.split_once(';').unwrap_or_default();
                let (name, value) = pair.split_once('=').unwrap_or_default();
                if rest.contains("Max-Age=0") {
                    self.cookies.remove(&(host.clone(), name.to_owned()));
                } else {
                    self.cookies.insert((host.clone(), name.to_owned()), value.to_owned());
                }
            }
            let Some(location) = answer.headers().get(LOCATION) else {
                return Ok(Page { url, text: answer.text().await? });
            };
            url = url.join(location.to_str()?)?;
            method = Method::GET;
        }
        Err("the redirects do not end".into())
    }
}
