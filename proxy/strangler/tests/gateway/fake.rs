//! Roads held in memory, which keep a record of what they were asked.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use apollo_compiler::Schema;
use apollo_compiler::validation::Valid;
use async_trait::async_trait;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use gateway::{Gateway, GatewayConfig};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use model::contract::{EntityType, WriteWork};
use model::sql::Params;
use model::{Contract, EntityKey, EntityName, FieldSet, Instant, Record, Rollout, Root, RootKind, Value, WriteId};
use parking_lot::Mutex;
use request::arguments::{Arguments, Origin};
use request::error::{ClientError, Fault, InternalError};
use request::roads::{RequestContext, Roads};
use serde_json::{Value as Json, json};
use uuid::Uuid;

/// The gateway under test, and the roads behind it.
pub(crate) struct World {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) roads: Arc<FakeRoads>,
}

/// What the roads hold and were asked.
#[derive(Default)]
pub(crate) struct FakeRoads {
    records: Mutex<HashMap<String, Vec<Record>>>,
    /// Every call, in order: route, keys or parameters, fields.
    pub(crate) calls: Mutex<Vec<String>>,
    /// Contexts of the calls, as `stick|idempotency|seen`.
    pub(crate) contexts: Mutex<Vec<String>>,
    /// Routes that fail.
    pub(crate) faults: Mutex<HashMap<&'static str, Fault>>,
    /// Routes that take their time.
    pub(crate) delays: Mutex<HashMap<&'static str, Duration>>,
}

/// What clients see here and a contract cannot say yet.
const WIDER: [(&str, &str); 7] = [
    ("  boss: Owner\n  parts(", "  boss: Owner!\n  parts("),
    ("looseParts: [Part!]!", "looseParts: [Part]"),
    ("must(id: ID!): Item\n", "must(id: ID!): Item!\n"),
    ("mustItems(ids: [ID!]!): [Item]!", "mustItems(ids: [ID!]!): [Item!]"),
    ("tryBump(id: ID!, count: Int!): Item!", "tryBump(id: ID!, count: Int!): Item"),
    ("type Item {", "interface Named { name: String! } union Thing = Item | Owner type Item implements Named {"),
    ("type Owner {", "type Owner implements Named {"),
];

/// The contract of the tests, and the wider schema.
pub(crate) fn loaded() -> (Arc<Contract>, Valid<Schema>) {
    let mut number = 0;
    let mut text = include_str!("contract.graphql").to_owned();
    for (mark, kind) in
        [("@text", "varchar(40)"), ("@number", "numeric"), ("@decimal", "numeric"), ("@time", "timestamptz")]
    {
        // A comment names the marks too.
        while let Some(at) = text.find(&format!(" {mark}")) {
            number += 1;
            let column = format!("{{ column: \"C{number}\", type: \"{kind}\" }}");
            let home = format!(" @home(legacy: {column}, modern: {column})");
            text.replace_range(at..=at + mark.len(), &home);
        }
    }
    let loaded = contract::load(&text, "contract.graphql").unwrap_or_else(|errors| panic!("{errors}"));
    let mut sdl = loaded.client_sdl;
    for (strict, wider) in WIDER {
        assert!(sdl.contains(strict), "`{strict}` is not in\n{sdl}");
        sdl = sdl.replacen(strict, wider, 1);
    }
    let schema = Schema::parse_and_validate(sdl, "client.graphql");
    (loaded.contract, schema.unwrap_or_else(|invalid| panic!("{invalid}")))
}

/// A gateway with introspection, over the records of [`FakeRoads::fill`].
pub(crate) fn world() -> World {
    world_with(|_| {})
}

/// The same with other settings.
pub(crate) fn world_with(change: impl FnOnce(&mut GatewayConfig)) -> World {
    let (contract, schema) = loaded();
    let roads = FakeRoads::default();
    roads.fill(&contract);
    let mut config = GatewayConfig { introspection: true, ..GatewayConfig::default() };
    change(&mut config);
    World::new(contract, schema, roads, config)
}

impl World {
    pub(crate) fn new(contract: Arc<Contract>, schema: Valid<Schema>, roads: FakeRoads, config: GatewayConfig) -> Self {
        let roads = Arc::new(roads);
        let rollout = Arc::new(Rollout::initial(contract.groups()));
        let behind = Arc::clone(&roads) as Arc<dyn Roads>;
        let source = Arc::new(move || Arc::clone(&rollout));
        Self { gateway: Gateway::new(schema, contract, behind, source, config), roads }
    }

    /// The answer to a query without variables.
    pub(crate) async fn ask(&self, query: &str) -> Json {
        self.ask_with(query, json!({})).await
    }

    /// The answer to a query with variables, by POST.
    pub(crate) async fn ask_with(&self, query: &str, variables: Json) -> Json {
        self.post(&json!({ "query": query, "variables": variables }), &[]).await.body
    }

    /// The answer as text, with the order of its keys.
    pub(crate) async fn text(&self, query: &str) -> String {
        self.post(&json!({ "query": query }), &[]).await.text
    }

    /// POSTs a body as JSON.
    pub(crate) async fn post(&self, body: &Json, headers: &[(&str, &str)]) -> Reply {
        let mut request = Request::post("/graphql").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.to_string().into()).unwrap()).await
    }

    /// Sends any request.
    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let router = gateway::router(Arc::clone(&self.gateway));
        let answer = TowerToHyperService::new(router).call(request).await;
        Reply::of(answer.unwrap()).await
    }

    /// What the roads were asked since the last time.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.roads.calls.lock())
    }

    pub(crate) fn fail(&self, route: &'static str, fault: impl Into<Fault>) {
        self.roads.faults.lock().insert(route, fault.into());
    }

    pub(crate) fn delay(&self, route: &'static str, delay: Duration) {
        self.roads.delays.lock().insert(route, delay);
    }
}

/// An HTTP answer.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Json,
}

impl Reply {
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of the only error.
    pub(crate) fn code(&self) -> &str {
        code(&self.body)
    }
}

/// The code of the only error.
pub(crate) fn code(answer: &Json) -> &str {
    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(1), "{answer}");
    answer["errors"][0]["extensions"]["code"].as_str().unwrap()
}

pub(crate) fn unavailable() -> Fault {
    Fault::Internal(InternalError::Unavailable("db-7.internal refused".to_owned()))
}

pub(crate) fn refused() -> Fault {
    Fault::Client(ClientError::new("NOT_FOUND", "there is no such item"))
}

impl FakeRoads {
    /// Items 1 to 4, owners a to c, parts of items 1 and 2.
    fn fill(&self, contract: &Contract) {
        let text = |value: &str| {
            if value.is_empty() { Value::Null } else { Value::text(value) }
        };
        let entity = |name: &str| &contract.entities[&EntityName::from(name)];
        let item = |id: &str, owner: &str, colour: &str| {
            Record::of(
                entity("Item"),
                [
                    ("id", text(id)),
                    ("name", Value::Text(format!("item {id}"))),
                    ("note", Value::Null),
                    ("count", Value::Int(10)),
                    ("spare", Value::Null),
                    ("price", Value::Decimal("12.5".parse().unwrap())),
                    ("colour", text(colour)),
                    ("at", Value::Instant(Instant::parse("2026-01-31T09:00:00+01:00").unwrap())),
                    ("ownerId", text(owner)),
                ],
            )
        };
        let owner = |id: &str, boss: &str| {
            let pairs = [("id", text(id)), ("name", Value::Text(format!("owner {id}"))), ("bossId", text(boss))];
            Record::of(entity("Owner"), pairs)
        };
        let part = |item: &str, number: i64, maker: &str| {
            Record::of(
                entity("Part"),
                [
                    ("itemId", text(item)),
                    ("number", Value::Int(number)),
                    ("label", Value::Text(format!("part {item}.{number}"))),
                    ("makerId", text(maker)),
                ],
            )
        };
        let mut records = self.records.lock();
        records.insert(
            "Item".to_owned(),
            vec![item("1", "a", "RED"), item("2", "b", "GREEN"), item("3", "a", ""), item("4", "", "")],
        );
        records.insert("Owner".to_owned(), vec![owner("a", "b"), owner("b", ""), owner("c", "zz")]);
        records.insert("Part".to_owned(), vec![part("1", 1, "a"), part("1", 2, "b"), part("2", 1, "a")]);
    }

    /// Changes one field of a record that is held.
    pub(crate) fn set(&self, entity: &str, place: usize, field: &str, value: impl Into<Value>) {
        let index = loaded().0.entities[&EntityName::from(entity)].index(field);
        let mut records = self.records.lock();
        records.get_mut(entity).unwrap()[place].set(index.unwrap(), value.into());
    }

    async fn note(&self, context: &RequestContext, root: &Root, what: String) -> Result<(), Fault> {
        let route = root.route.as_str();
        self.calls.lock().push(format!("{route} {what}"));
        let seen = context.seen.len();
        let carried = format!("{:?}|{:?}|{seen}", context.stick, context.idempotency);
        self.contexts.lock().push(carried);
        let delay = self.delays.lock().get(route).copied();
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        self.faults.lock().get(route).cloned().map_or(Ok(()), Err)
    }

    fn find(&self, entity: &EntityType, key: &EntityKey) -> Option<Record> {
        let records = self.records.lock();
        let held = records.get(entity.name.as_str())?;
        held.iter().find(|record| record.key(entity).as_ref() == Some(key)).cloned()
    }
}

/// Only what was asked for, so that a plan which forgets a field is found out.
fn cut(entity: &EntityType, record: &Record, fields: FieldSet) -> Record {
    let mut cut = Record::empty(entity);
    for index in fields.union(entity.key_fields()).iter().take_while(|i| i.get() < entity.fields.len()) {
        if let Some(value) = record.get(index) {
            cut.set(index, value.clone());
        }
    }
    cut
}

fn names(entity: &EntityType, fields: FieldSet) -> String {
    let mut names = String::new();
    for index in fields.iter() {
        let _ = write!(names, " {}", entity.field(index).name);
    }
    names
}

#[async_trait]
impl Roads for FakeRoads {
    async fn by_keys(
        &self,
        context: &RequestContext,
        root: &Arc<Root>,
        keys: Vec<EntityKey>,
        fields: FieldSet,
    ) -> Result<Vec<Option<Record>>, Fault> {
        let entity = &root.entity;
        let texts: Vec<_> = keys.iter().map(EntityKey::as_text).collect();
        self.note(context, root, format!("{} :{}", texts.join(" "), names(entity, fields))).await?;
        let find = |key| Some(cut(entity, &self.find(entity, key)?, fields));
        Ok(keys.iter().map(find).collect())
    }

    async fn list(
        &self,
        context: &RequestContext,
        root: &Arc<Root>,
        params: Params,
        fields: FieldSet,
    ) -> Result<Vec<Record>, Fault> {
        let entity = &root.entity;
        let mut what = String::new();
        for (name, value) in &params {
            let _ = write!(what, "{name}={} ", value.to_json());
        }
        self.note(context, root, format!("{what}:{}", names(entity, fields))).await?;
        let most = match params.get("first") {
            Some(Value::Int(first)) => usize::try_from(*first).unwrap(),
            _ => usize::MAX,
        };
        let of_parent = |record: &&Record| {
            let parent = params.get("parent.id");
            parent.is_none_or(|id| record.get(entity.index("itemId").unwrap()) == Some(id))
        };
        let records = self.records.lock();
        let held = records.get(entity.name.as_str()).into_iter().flatten();
        Ok(held.filter(of_parent).take(most).map(|record| cut(entity, record, fields)).collect())
    }

    async fn write(
        &self,
        context: &RequestContext,
        root: &Arc<Root>,
        arguments: &Arguments,
        response_name: &str,
    ) -> Result<Vec<Option<Record>>, Fault> {
        let json = Json::Object(arguments.as_json().clone());
        self.note(context, root, format!("{json} as {response_name}")).await?;
        let RootKind::Write(action) = &root.kind else {
            panic!("{} is no mutation", root.route);
        };
        let origin = Origin::default();
        let mut answer = Vec::new();
        for touch in &action.touches {
            let key = arguments.key(&touch.entity, &touch.key, origin)?.unwrap();
            let mut record = self.find(&touch.entity, &key);
            if let (Some(record), WriteWork::Set { fields }) = (&mut record, &action.work) {
                let set = arguments.record(&touch.entity, fields, origin)?;
                for (index, value) in set.iter() {
                    record.set(index, value.clone());
                }
            }
            answer.push(record);
        }
        context.note_written(WriteId(Uuid::now_v7()));
        Ok(answer)
    }
}
