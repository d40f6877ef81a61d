"""Checks of k8s/ that need no cluster. bin/check-k8s renders the overlays and calls this.

Core kinds are validated strictly against the API's own schema, of the oldest and of the newest version that we mean.
What no schema says is checked here: that names lead to something, that containers may do nothing they need not, that
there is time to drain, and that every alert has a page, a test, and metrics that exist.
Not here: whether a cluster takes it. Nothing is applied.

    check.py render FILE...    rendered overlays
    check.py rules TARGET      alerts, their pages and tests, the dashboard; writes what promtool reads into TARGET
"""

import json
import re
import sys
import tomllib
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parent.parent
MONITORING = ROOT / "k8s/monitoring"
VERSIONS = ["1.30", "1.37"]  # 1.30: the first with `preStop.sleep` switched on
OPERATOR = {"ServiceMonitor", "PrometheusRule"}  # CRDs, which have no schema here
problems = []


def expect(holds, problem):
    if not holds:
        problems.append(problem)


def render(file):
    documents = [document for document in yaml.safe_load_all(Path(file).read_text()) if document]
    named = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    for (kind, name), document in named.items():
        if kind not in OPERATOR:
            schema(f"{file}: {kind} {name}", document)
        expect(kind != "Secret", f"{file}: Secret {name}: secrets do not belong into this repository")
        expect(kind == "Namespace" or document["metadata"].get("namespace"), f"{file}: {kind} {name}: no namespace")
        template = document.get("spec", {}).get("template")
        template = document["spec"]["jobTemplate"]["spec"]["template"] if kind == "CronJob" else template
        if template:
            pod(f"{file}: {kind} {name}", template, named)
    # What does not fit its schema is not looked into further.
    if ("StatefulSet", "strangler") in named and not problems:
        fleet(file, named)


def schema(what, document):
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = ".".join(str(part) for part in error.path)
            problems.append(f"{what}: `{where}` (Kubernetes {version}): {error.message}")
        except kubernetes_validate.SchemaNotFoundError as error:
            problems.append(f"{what}: {error.message}")


def pod(what, template, named):
    spec = template["spec"]
    security = spec.get("securityContext", {})
    expect(spec.get("automountServiceAccountToken") is False, f"{what}: has a token for the cluster")
    expect(security.get("runAsNonRoot") is True, f"{what}: may run as root")
    expect(security.get("seccompProfile", {}).get("type") == "RuntimeDefault", f"{what}: no seccomp profile")
    replicas = named.get(("StatefulSet", "strangler"), {"spec": {}})
    claims = {claim["metadata"]["name"] for claim in replicas["spec"].get("volumeClaimTemplates", [])}
    volumes = {volume["name"] for volume in spec.get("volumes", [])} | claims
    for volume in spec.get("volumes", []):
        name = volume.get("configMap", {}).get("name")
        expect(name is None or ("ConfigMap", name) in named, f"{what}: there is no ConfigMap {name}")
    for container in spec["containers"]:
        own = container.get("securityContext", {})
        expect(own.get("readOnlyRootFilesystem") is True, f"{what}: the root file system can be written")
        expect(own.get("allowPrivilegeEscalation") is False, f"{what}: privileges can rise")
        expect(own.get("capabilities") == {"drop": ["ALL"]}, f"{what}: capabilities are not dropped")
        expect(re.search(r":[0-9][^:/]*$", container["image"]), f"{what}: the image {container['image']} has no version")
        for mount in container.get("volumeMounts", []):
            expect(mount["name"] in volumes, f"{what}: there is no volume {mount['name']}")


def one_calendar(file, given, named):
    """Rows at rest are compared by the replicas' own schedule or by the CronJob: by one of them, and not by both."""
    own = given.get("reconcile.at", "never") != "never" or "reconcile.every_hours" in given
    cron = named.get(("CronJob", "strangler-reconcile"))
    expect(own or cron, f"{file}: nobody compares rows at rest: neither `reconcile.at` nor the CronJob")
    expect(not (own and cron), f"{file}: rows at rest are compared twice: by `reconcile.at` and by the CronJob")
    if cron:
        [container] = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        address = container["args"][container["args"].index("--admin") + 1]
        service = re.fullmatch(r"https?://([a-z-]+):(\d+)", address)
        known = named.get(("Service", service and service[1]), {"spec": {"ports": []}})
        ports = [str(port["port"]) for port in known["spec"]["ports"]]
        expect(service and service[2] in ports, f"{file}: the CronJob asks {address}, which is no Service here")


def fleet(file, named):
    replicas = named["StatefulSet", "strangler"]
    template = replicas["spec"]["template"]
    labels, spec = template["metadata"]["labels"], template["spec"]
    container = spec["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    services = [document for (kind, _), document in named.items() if kind == "Service"]
    scaler, budget = named["HorizontalPodAutoscaler", "strangler"]["spec"], named["PodDisruptionBudget", "strangler"]
    [config] = [volume["configMap"]["name"] for volume in spec["volumes"] if "configMap" in volume]
    settings = tomllib.loads(named["ConfigMap", config]["data"]["strangler.toml"])

    expect(replicas["spec"].get("replicas") is None, f"{file}: `replicas` is the autoscaler's")
    expect(scaler["scaleTargetRef"]["kind"] == "StatefulSet", f"{file}: the autoscaler scales something else")
    # Every selector means the replicas, and every named port is one of theirs.
    for service in services:
        name = service["metadata"]["name"]
        expect(service["spec"]["selector"].items() <= labels.items(), f"{file}: {name} selects nothing")
        for port in service["spec"]["ports"]:
            expect(port["targetPort"] in ports, f"{file}: there is no port {port['targetPort']}")
    chosen = budget["spec"]["selector"]["matchLabels"]
    expect(chosen.items() <= labels.items(), f"{file}: the budget selects nothing")
    for (kind, name), policy in named.items():
        if kind == "NetworkPolicy":
            chosen = policy["spec"]["podSelector"]["matchLabels"]
            expect(chosen.items() <= labels.items(), f"{file}: {name} selects nothing")
            for rule in policy["spec"].get("ingress", []):
                names = [port["port"] for port in rule.get("ports", [])]
                expect(rule.get("from") and names, f"{file}: {name} lets everybody in")
                expect(set(names) <= set(ports), f"{file}: {name}: there is no port {names}")
    # The ports of the configuration are those of the container.
    for section, port in [("gateway", "graphql"), ("admin", "admin")]:
        listens = settings[section]["listen"]
        expect(listens.endswith(f":{ports[port]}"), f"{file}: {section}.listen is {listens}, the port is {ports[port]}")
    env = {variable["name"]: variable.get("value") for variable in container["env"]}
    given = dict(keys(settings)) | {variable_key(name): env[name] for name in env if name.startswith("STRANGLER__")}
    for n, (name, value) in enumerate(env.items()):
        used = set(re.findall(r"\$\((\w+)\)", value or ""))
        expect(used <= set(list(env)[:n]), f"{file}: {name} uses {used}, which must stand above it")
    every_key(file, given, container)
    admin_port(file, given, container, named)
    one_calendar(file, given, named)
    # Time: what preStop takes, then drain_ms, then twice five seconds for the last writes and their marks.
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = pause + settings["gateway"].get("drain_ms", 25_000) / 1000 + 10
    grace = spec["terminationGracePeriodSeconds"]
    expect(grace >= needed, f"{file}: terminationGracePeriodSeconds is {grace}, draining takes up to {needed}")
    # As many names as replicas that always run.
    scheme = "https://" if "admin.tls.cert_file" in given else ""
    address = f"{replicas['spec']['serviceName']}:{ports['admin']}"
    always = [f"{scheme}strangler-{n}.{address}" for n in range(scaler["minReplicas"])]
    told = given["fleet.replicas"].split(",")
    expect(told == always, f"{file}: STRANGLER__FLEET__REPLICAS must be {','.join(always)}")
    own = f"{scheme}$(POD_NAME).{address}"
    expect(given["fleet.admin_address"] == own, f"{file}: STRANGLER__FLEET__ADMIN_ADDRESS must be {own}")
    expect(scaler["minReplicas"] >= 2, f"{file}: one replica is none while it is replaced")
    monitor = named.get(("ServiceMonitor", "strangler"))
    if monitor:
        measured(file, monitor, services)


def measured(file, monitor, services):
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = [service for service in services if wanted <= service["metadata"]["labels"].items()]
    expect(len(found) == 1, f"{file}: the ServiceMonitor finds {len(found)} Services")
    names = {port["name"] for service in found for port in service["spec"]["ports"]}
    asked = {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]}
    expect(asked <= names, f"{file}: the ServiceMonitor asks a port that is not there: {asked}")
    job = monitor["spec"]["jobLabel"]
    expect(job == "app.kubernetes.io/name", f"{file}: jobLabel is {job}; the alerts rely on job=strangler")


def keys(settings, section=""):
    for name, value in settings.items():
        yield from keys(value, f"{section}{name}.") if isinstance(value, dict) else [(section + name, value)]


def variable_key(name):
    return name.removeprefix("STRANGLER__").lower().replace("__", ".")


def every_key(file, given, container):
    mounts = [mount["mountPath"] + "/" for mount in container["volumeMounts"]]
    for key, value in given.items():
        # The program refuses unknown keys; better that somebody learns of it here. The example has every key, by test.
        section, _, name = key.rpartition(".")
        expect(re.search(rf"\b{name}\b", example_section(section)), f"{file}: docs/strangler.example.toml has no `{key}`")
        if name.endswith("_file"):
            expect(value.startswith(tuple(mounts)), f"{file}: `{key}` is {value}, and nothing is mounted there")


def admin_port(file, given, container, named):
    who_may = any(key == "admin.tokens_file" or key.startswith("admin.jwt.") for key in given)
    expect(who_may, f"{file}: nothing says who may use the admin port: set admin.tokens_file or admin.jwt")
    expect("admin.session_secret_file" in given, f"{file}: without admin.session_secret_file, a browser needs one replica")
    expect("fleet.token_file" in given, f"{file}: without fleet.token_file, replicas are not told of a rollback")
    scheme = "HTTPS" if "admin.tls.cert_file" in given else "HTTP"
    for kind in ["startupProbe", "livenessProbe", "readinessProbe"]:
        asks = container[kind]["httpGet"]
        expect(asks["port"] == "admin", f"{file}: {kind} does not ask the admin port")
        expect(asks.get("scheme", "HTTP") == scheme, f"{file}: {kind} does not speak {scheme}")
        expect(asks["path"] in ["/health/live", "/health/ready"], f"{file}: {kind}: {asks['path']} asks for a token")
    monitor = named.get(("ServiceMonitor", "strangler"), {"spec": {"endpoints": []}})
    for endpoint in monitor["spec"]["endpoints"]:
        expect(endpoint.get("scheme", "http").upper() == scheme, f"{file}: the ServiceMonitor does not speak {scheme}")
        authorized = "authorization" in endpoint or not given.get("admin.metrics_need_token")
        expect(authorized, f"{file}: the ServiceMonitor has no token, and admin.metrics_need_token is set")


def example_section(name):
    text = (ROOT / "docs/strangler.example.toml").read_text()
    # Sections that are optional are commented out.
    sections = re.split(r"^(?:# )?\[{1,2}([\w.]+)\]{1,2}.*$", text, flags=re.M)
    return dict(zip(["", *sections[1::2]], sections[0::2])).get(name, "")


def rules(target):
    spec = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["spec"]
    (target / "alerts.rules.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    tested = set()
    for file in MONITORING.glob("*.test.yaml"):
        (target / file.name).write_text(file.read_text())
        tested |= firing_at_some_time(yaml.safe_load(file.read_text())["tests"])
    known = set(re.findall(r"^- `(strangler_\w+)`", (ROOT / "docs/metrics.md").read_text(), re.M))
    alerts = [rule for group in spec["groups"] for rule in group["rules"]]
    for alert in alerts:
        name, page = alert["alert"], ROOT / alert["annotations"]["runbook_url"]
        expect(alert["labels"]["severity"] in ["critical", "warning"], f"{name}: severity is critical or warning")
        expect(alert["annotations"].get("summary"), f"{name}: has no summary")
        metrics(name, alert["expr"], known)
        expect(name in tested, f"{name}: there is no test in which it fires at one time and not at another")
        if not page.is_file():
            problems.append(f"{name}: there is no page {alert['annotations']['runbook_url']}")
            continue
        text = page.read_text()
        expect(f"`{name}`" in text, f"{name}: {page.name} does not name it")
        expect("(roll-back-by-hand.md)" in text, f"{name}: {page.name} does not say how to roll back by hand")
    named = {alert["alert"] for alert in alerts}
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for name in re.findall(r"`(Strangler[A-Z]\w+)`", page.read_text()):
            expect(name in named, f"{page.relative_to(ROOT)}: there is no alert {name}")
    dashboard(target, known)


def firing_at_some_time(tests):
    found = set()
    for test in tests:
        looks = [set(re.findall(r'alertname="(\w+)"', str(look["exp_samples"]))) for look in test["promql_expr_test"]]
        if looks:
            found |= set.union(*looks) - set.intersection(*looks)
    return found


def metrics(what, expression, known):
    for name in re.findall(r"\bstrangler_\w+", expression):
        base = re.sub(r"_(bucket|count|sum)$", "", name)
        expect({name, base} & known, f"{what}: docs/metrics.md has no {name}")


def dashboard(target, known):
    panels = json.loads((MONITORING / "dashboards/strangler.json").read_text())["panels"]
    ids = [panel["id"] for panel in panels]
    expect(len(ids) == len(set(ids)), "dashboard: two panels have the same id")
    every = " ".join(shown["expr"] for panel in panels for shown in panel.get("targets", []))
    for name in sorted(known):
        expect(re.search(rf"\b{name}(_bucket|_count|_sum)?\b", every), f"dashboard: no panel shows {name}")
    taken, queries = set(), []
    for panel in panels:
        at, title = panel["gridPos"], panel["title"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        expect(not cells & taken and at["x"] + at["w"] <= 24, f"dashboard: `{title}` lies on another panel, or outside")
        taken |= cells
        expect(panel["type"] == "row" or panel.get("targets"), f"dashboard: `{title}` shows nothing")
        for shown in panel.get("targets", []):
            metrics(f"dashboard: `{title}`", shown["expr"], known)
            queries.append({"record": f"panel_{panel['id']}_{shown['refId']}", "expr": shown["expr"]})
    parsed = {"groups": [{"name": "dashboard", "rules": queries}]}
    (target / "dashboard.rules.yaml").write_text(yaml.safe_dump(parsed))


def main():
    match sys.argv[1:]:
        case ["render", *files] if files:
            for file in files:
                render(file)
        case ["rules", target]:
            rules(Path(target))
        case _:
            sys.exit(__doc__)
    if problems:
        sys.exit("\n".join(problems))


main()
