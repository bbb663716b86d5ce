"""The plugins that cocained brings along: names only."""

from cocained.repository import Entry

admin_service = Entry("service", "admin", "cocained.services.admin.AdminService")
locator_service = Entry(
    "service", "locator", "cocained.services.locator.LocatorService"
)
logging_service = Entry(
    "service", "logging", "cocained.services.logging.LoggingService"
)
node_service = Entry("service", "node", "cocained.services.node.NodeService")
node_service_v2 = Entry("service", "node::v2", "cocained.services.node.NodeService")
storage_service = Entry(
    "service", "storage", "cocained.services.storage.StorageService"
)
unicorn_service = Entry(
    "service", "unicorn", "cocained.services.unicorn.UnicornService"
)

files_storage = Entry("storage", "files", "cocained.storages.files.FilesStorage")
memory_storage = Entry("storage", "memory", "cocained.storages.memory.MemoryStorage")
mongodb_storage = Entry(
    "storage", "mongodb", "cocained.storages.mongodb.MongoStorage", extra="mongodb"
)
postgres_storage = Entry(
    "storage",
    "postgres",
    "cocained.storages.postgres.PostgresStorage",
    extra="postgres",
)
redis_storage = Entry(
    "storage", "redis", "cocained.storages.redis.RedisStorage", extra="redis"
)
s3_storage = Entry("storage", "s3", "cocained.storages.s3.S3Storage", extra="s3")

console_logger = Entry("logger", "console", "cocained.loggers.console.ConsoleLogger")
file_logger = Entry("logger", "file", "cocained.loggers.file.FileLogger")
syslog_logger = Entry("logger", "syslog", "cocained.loggers.syslog.SyslogLogger")

multicast_cluster = Entry(
    "cluster", "multicast", "cocained.clusters.multicast.MulticastCluster"
)

adhoc_gateway = Entry("gateway", "adhoc", "cocained.gateways.adhoc.AdhocGateway")
vicodyn_gateway = Entry(
    "gateway", "vicodyn", "cocained.gateways.vicodyn.gateway.VicodynGateway"
)
ipvs_gateway = Entry("gateway", "ipvs", "cocained.gateways.kernel.ipvs.IpvsGateway")
nftables_gateway = Entry(
    "gateway", "nftables", "cocained.gateways.kernel.nftables.NftablesGateway"
)

predefine_cluster = Entry(
    "cluster", "predefine", "cocained.clusters.predefine.PredefineCluster"
)
predefined_cluster = Entry(
    "cluster", "predefined", "cocained.clusters.predefine.PredefineCluster"
)

process_isolate = Entry(
    "isolate", "process", "cocained.isolates.process.ProcessIsolate"
)
legacy_process_isolate = Entry(
    "isolate", "legacy_process", "cocained.isolates.process.ProcessIsolate"
)
docker_isolate = Entry("isolate", "docker", "cocained.isolates.docker.DockerIsolate")
legacy_docker_isolate = Entry(
    "isolate", "legacy_docker", "cocained.isolates.docker.DockerIsolate"
)

zookeeper_cluster = Entry(
    "cluster", "zookeeper", "cocained.clusters.zookeeper.ZookeeperCluster"
)
unicorn_cluster = Entry(
    "cluster", "unicorn", "cocained.clusters.zookeeper.UnicornCluster"
)

files_unicorn = Entry("unicorn", "files", "cocained.unicorns.files.FilesUnicorn")
memory_unicorn = Entry("unicorn", "memory", "cocained.unicorns.memory.MemoryUnicorn")
zookeeper_unicorn = Entry(
    "unicorn",
    "zookeeper",
    "cocained.unicorns.zookeeper.ZookeeperUnicorn",
    "zookeeper",
)
