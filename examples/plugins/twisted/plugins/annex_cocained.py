"""The plugins of cocained-annex: names, no code."""

from cocained.repository import Entry

netns_isolate = Entry("isolate", "netns", "cocained_annex.netns.NetnsIsolate")
sqlite_storage = Entry("storage", "sqlite", "cocained_annex.sqlite.SqliteStorage")
