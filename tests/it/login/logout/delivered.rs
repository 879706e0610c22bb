//! The whole of it over HTTP: the user logs out at the server, the server tells the program, and its API refuses his tokens.

use std::sync::mpsc;

use axum::Router;
use axum::routing::post;
use scopegate::{Credentials, Issuer, PlainHttp, Requirement, ScopePolicy, Validator};

use super::*;

#[test]
fn a_logout_at_the_server_ends_the_users_access_tokens_at_the_api() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let (back, gone) = (format!("{origin}/authorize"), format!("{origin}/logged-out"));
    let issuer = TestIssuer::on_loopback().unwrap().default_audience(API);
    let registered = TestClient::confidential("app", "s3cret").redirect_uri(&back).post_logout_redirect_uri(&gone);
    issuer.register_client(registered.backchannel_logout_uri(format!("{origin}/backchannel-logout")));
    let registration = Registration::discover(issuer.id(), ClientAuth::basic("app", "s3cret")).scope("openid");
    let client = Client::new("example", registration.plain_http(PlainHttp::OnLoopback)).unwrap();
    let trusted = Issuer::discover(issuer.id()).plain_http(PlainHttp::OnLoopback);
    let api = Validator::builder(API).trust(trusted).build().unwrap();

    let (told, answers) = mpsc::channel();
    let handler = {
        let (client, api) = (client.clone(), api.clone());
        move |headers: HeaderMap, body: Bytes| async move {
            let answer = client.backchannel_logout(&headers, &body, &api, seconds(3600)).await;
            told.send((answer.status(), answer.extensions().get::<LogoutToken>().cloned())).unwrap();
            answer.map(axum::body::Body::from)
        }
    };
    let program = Router::new().route("/backchannel-logout", post(handler));
    let serving = runtime.spawn(async move { axum::serve(listener, program).await });

    let log_in = |user: &str| {
        let redirect = block_on(client.authorize_redirect(back.as_str())).unwrap();
        let back = issuer.sign_in(redirect.location(), user);
        block_on(client.callback(&callback(&back.url(), &[&cookie(&redirect)]))).unwrap()
    };
    let (alice, bob) = (log_in("alice"), log_in("bob"));
    let nothing = Requirement::from(ScopePolicy::none());
    let check = |login: &Login| {
        let presented = Credentials::bearer(login.token().access_token());
        api.check(&presented, &nothing).map(drop).map_err(|refused| refused.reason())
    };
    block_on(api.warm_up()).unwrap();
    assert_eq!((check(&alice), check(&bob)), (Ok(()), Ok(())));

    let request = LogoutRequest::of(alice.token()).post_logout_redirect_uri(&gone).return_to("/");
    let redirect = block_on(client.logout_redirect(request)).unwrap();
    let asked = Request::get(redirect.location()).body(Bytes::new()).unwrap();
    let answer = block_on(issuer.fetch().fetch(asked, FetchLimits::default())).unwrap();
    let (status, token) = answers.recv_timeout(seconds(10)).unwrap();
    assert_eq!((status.as_u16(), token.as_ref().and_then(LogoutToken::subject)), (200, Some("alice")));
    assert_eq!(token.unwrap().session_id(), alice.user().unwrap().session_id());
    assert_eq!((check(&alice), check(&bob)), (Err(Reason::Revoked), Ok(())));

    let location = answer.headers()[LOCATION].to_str().unwrap();
    let done = block_on(client.logout_callback(&callback(location, &[&cookie(&redirect)]))).unwrap();
    assert_eq!(done.return_to(), Some("/"));
    serving.abort();
}
