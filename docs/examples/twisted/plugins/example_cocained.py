"""The plugins of the documentation: names, no code."""

from cocained.repository import Entry

service = Entry("service", "greeting", "example_service.GreetingService")
storage = Entry("storage", "sqlite", "example_storage.SqliteStorage")
isolate = Entry("isolate", "directory", "example_isolate.DirectoryIsolate")
logger = Entry("logger", "udp", "example_logger.UdpLogger")
gateway = Entry("gateway", "sticky", "example_gateway.StickyGateway")
cluster = Entry("cluster", "fixed", "example_cluster.FixedCluster")
driver = Entry("driver", "every", "example_driver.EveryDriver")
unicorn = Entry("unicorn", "folder", "example_unicorn.FolderUnicorn")
