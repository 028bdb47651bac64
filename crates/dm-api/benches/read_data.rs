//! `GET /data` of 1 KiB through every layer and over in-memory ports, against
//! an empty actix route in the same run: 16 connections, each with one request
//! under way. The goal is a ratio of at least 0.40. `GET /network/stats`, which
//! passes the same layers and reads nothing, shows what they cost by themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use actix_web::{App, HttpResponse, HttpServer, web};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[path = "../tests/common/mod.rs"]
mod common;

const CONNECTIONS: usize = 16;
const PAYLOAD: usize = 1024;

/// A keep-alive connection that asks the same thing again and again.
struct Client {
    socket: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
    length: usize,
}

impl Client {
    fn new(url: &str, path: &str, key: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n").into_bytes();
        let mut client = Self {
            socket: TcpStream::connect(url.trim_start_matches("http://")).unwrap(),
            request,
            answer: vec![0; 64 * 1024],
            length: 0,
        };
        client.socket.set_nodelay(true).unwrap();
        client.length = client.first_answer();
        client
    }

    /// Length of the whole answer, which is the same each time.
    fn first_answer(&mut self) -> usize {
        self.socket.write_all(&self.request).unwrap();
        let mut read = 0;
        loop {
            read += self.socket.read(&mut self.answer[read..]).unwrap();
            let text = String::from_utf8_lossy(&self.answer[..read]).to_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            assert!(head.starts_with("http/1.1 200"), "{head}");
            let announced = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let announced: usize = announced.unwrap().parse().unwrap();
            if body.len() == announced {
                return read;
            }
        }
    }

    fn ask(&mut self) {
        self.socket.write_all(&self.request).unwrap();
        self.socket.read_exact(&mut self.answer[..self.length]).unwrap();
    }
}

/// Time for `requests` requests, spread over all connections.
fn run(clients: &mut [Client], requests: u64) -> Duration {
    let each = requests.div_ceil(clients.len() as u64);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for client in clients {
            scope.spawn(move || (0..each).for_each(|_| client.ask()));
        }
    });
    started.elapsed()
}

fn clients(url: &str, path: &str, key: &str) -> Vec<Client> {
    (0..CONNECTIONS).map(|_| Client::new(url, path, key)).collect()
}

/// An actix server with nothing in it, with as many workers as the API has.
fn empty_server() -> String {
    let server = HttpServer::new(|| App::new().route("/empty", web::get().to(HttpResponse::Ok)))
        .workers(std::thread::available_parallelism().map_or(1, usize::from).min(4))
        .keep_alive(Duration::from_secs(75))
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
    let url = format!("http://{}", server.addrs()[0]);
    tokio::spawn(server.run());
    url
}

fn read_data(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (node, hash, empty) = runtime.block_on(async {
        let node = common::start().await;
        let hash = node.put(vec![b'x'; PAYLOAD]).await;
        (node, hash, empty_server())
    });
    let mut empty = clients(&empty, "/empty", &node.keys.read);
    let mut data = clients(&node.external, &format!("/data/{hash}"), &node.keys.read);

    let mut stats = clients(&node.external, "/network/stats", &node.keys.read);

    let mut group = criterion.benchmark_group("http");
    group.throughput(Throughput::Elements(1));
    group.bench_function("empty actix route", |bencher| {
        bencher.iter_custom(|count| run(&mut empty, count));
    });
    group.bench_function("GET /data, 1 KiB", |bencher| {
        bencher.iter_custom(|count| run(&mut data, count));
    });
    group.finish();

    let layers = median_ratio(&mut empty, &mut stats);
    println!("GET /network/stats reaches {layers:.2} of the empty route's rate");
    let read = median_ratio(&mut empty, &mut data);
    println!("GET /data reaches {read:.2} of the empty route's rate (goal: 0.40, or 25000/s)");
}

/// Median over rounds in which both take turns, so that both meet the same machine.
fn median_ratio(empty: &mut [Client], other: &mut [Client]) -> f64 {
    const REQUESTS: u64 = 16_000;
    let mut ratios: Vec<f64> = (0..9)
        .map(|_| run(empty, REQUESTS).as_secs_f64() / run(other, REQUESTS).as_secs_f64())
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

criterion_group!(benches, read_data);
criterion_main!(benches);
