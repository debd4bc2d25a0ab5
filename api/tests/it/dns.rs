//! A DNS server that says what a test has it say.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Records,
    Error,
    Nothing,
}

type Records = HashMap<(String, RecordType), Vec<RData>>;

pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    records: Arc<Mutex<Records>>,
    says: Arc<Mutex<Says>>,
    serving: JoinHandle<()>,
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Dns {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let records: Arc<Mutex<Records>> = Arc::default();
        let says = Arc::new(Mutex::new(Says::Records));
        let (known, mood) = (Arc::clone(&records), Arc::clone(&says));
        let serving = tokio::spawn(async move {
            let mut packet = vec![0; 4096];
            loop {
                let (length, from) = socket.recv_from(&mut packet).await.unwrap();
                let query = Message::from_vec(&packet[..length]).unwrap();
                let says = *mood.lock();
                if says == Says::Nothing {
                    continue;
                }
                let answer = answer(&query, &known.lock(), says);
                socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            }
        });
        Self { address, records, says, serving }
    }

    pub(crate) fn says(&self, says: Says) {
        *self.says.lock() = says;
    }

    /// `name` has a TXT record, in two strings, as long ones have it.
    pub(crate) fn txt(&self, name: &str, text: &str) {
        let (first, second) = text.split_at(text.len() / 2);
        let record = RData::TXT(TXT::new(vec![first.to_owned(), second.to_owned()]));
        self.add(name, RecordType::TXT, record);
    }

    pub(crate) fn cname(&self, name: &str, target: &str) {
        let target: Name = format!("{target}.").parse().unwrap();
        self.add(name, RecordType::CNAME, RData::CNAME(CNAME(target)));
    }

    fn add(&self, name: &str, kind: RecordType, record: RData) {
        self.records.lock().entry((name.to_owned(), kind)).or_default().push(record);
    }
}

fn answer(query: &Message, records: &Records, says: Says) -> Message {
    let question = query.queries[0].clone();
    let code = if says == Says::Error { ResponseCode::ServFail } else { ResponseCode::NoError };
    let mut answer = Message::error_msg(query.metadata.id, OpCode::Query, code);
    let name = question.name().to_ascii().to_lowercase();
    let key = (name.trim_end_matches('.').to_owned(), question.query_type());
    if says == Says::Records {
        for data in records.get(&key).into_iter().flatten() {
            answer.add_answer(Record::from_rdata(question.name().clone(), 60, data.clone()));
        }
    }
    answer.add_query(question);
    answer
}
