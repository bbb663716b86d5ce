# -*- test-case-name: cocained.test.live.test_storages_mongodb -*-
"""
What stands in for MongoDB, of which no server can be had: its wire protocol by
mockupdb, its queries by mongomock.

It shows that the driver is used as it wants to be, and the logic of the layout; it
says nothing about a real server's faults, speed or durability.
"""

from __future__ import annotations

import sys
import threading
from importlib.util import find_spec
from typing import Any

from typing_extensions import override

from cocained.test.live.servers import Server
from cocained.test.live.support import LOOPBACK, missing

#: What the server says of itself; the limits are MongoDB's own.
HELLO = {
    "ok": 1,
    "ismaster": True,
    "isWritablePrimary": True,
    "helloOk": True,
    "maxWireVersion": 21,
    "minWireVersion": 0,
    "maxBsonObjectSize": 16 << 20,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "logicalSessionTimeoutMinutes": 30,
}


class Mongo(Server):
    """One stand-in, in a process of its own."""

    program = (sys.executable, "python3")

    def __init__(self) -> None:
        for module in ("mockupdb", "mongomock"):
            if find_spec(module) is None:
                raise missing(f"no {module}: install cocained[live]")
        super().__init__()

    @override
    def command(self) -> list[str]:
        return [sys.executable, "-m", __name__, str(self.port)]

    @override
    def is_ready(self) -> bool:
        return b"ready" in self.log.read_bytes()

    @property
    def uri(self) -> str:
        """Where it is."""
        return f"mongodb://{LOOPBACK}:{self.port}/"


class Answers:
    """The commands that the driver sends, done by mongomock."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def answer(self, request: Any) -> bool:
        """Do one command."""
        document = request.doc
        name = next(iter(document))
        command = getattr(self, f"do_{name.lower()}", None)
        with self._lock:
            if command is None:
                answer = {"ok": 0, "errmsg": f"no such command: {name}", "code": 59}
            else:
                answer = command(document)
        request.replies(answer)
        return True

    def _collection(self, document: Any) -> Any:
        name = next(iter(document.values()))
        return self._client[document["$db"]][name]

    def do_hello(self, document: Any) -> Any:
        return dict(HELLO)

    do_ismaster = do_hello

    def do_ping(self, document: Any) -> Any:
        return {"ok": 1}

    def do_endsessions(self, document: Any) -> Any:
        return {"ok": 1}

    def do_find(self, document: Any) -> Any:
        collection = self._collection(document)
        cursor = collection.find(document.get("filter", {}), document.get("projection"))
        if document.get("sort"):
            cursor = cursor.sort(list(document["sort"].items()))
        cursor = cursor.skip(document.get("skip", 0))
        if document.get("limit"):
            cursor = cursor.limit(abs(document["limit"]))
        return self._batch(collection, list(cursor))

    def _batch(self, collection: Any, batch: list[Any]) -> Any:
        namespace = f"{collection.database.name}.{collection.name}"
        return {"ok": 1, "cursor": {"id": 0, "ns": namespace, "firstBatch": batch}}

    def do_insert(self, document: Any) -> Any:
        collection = self._collection(document)
        collection.insert_many([dict(each) for each in document["documents"]])
        return {"ok": 1, "n": len(document["documents"])}

    def do_update(self, document: Any) -> Any:
        collection = self._collection(document)
        changed, upserted = 0, []
        for index, each in enumerate(document["updates"]):
            result = collection.update_one(
                each["q"], each["u"], upsert=each.get("upsert", False)
            )
            changed += result.modified_count
            if result.upserted_id is not None:
                upserted.append({"index": index, "_id": result.upserted_id})
        answer = {"ok": 1, "n": changed + len(upserted), "nModified": changed}
        return {**answer, "upserted": upserted} if upserted else answer

    def do_delete(self, document: Any) -> Any:
        collection = self._collection(document)
        count = 0
        for each in document["deletes"]:
            delete = collection.delete_one if each["limit"] else collection.delete_many
            count += delete(each["q"]).deleted_count
        return {"ok": 1, "n": count}

    def do_createindexes(self, document: Any) -> Any:
        collection = self._collection(document)
        for index in document["indexes"]:
            collection.create_index(
                list(index["key"].items()), unique=index.get("unique", False)
            )
        return {"ok": 1}

    def do_listindexes(self, document: Any) -> Any:
        collection = self._collection(document)
        indexes = [
            {"v": 2, "name": name, "key": dict(index["key"])}
            for name, index in collection.index_information().items()
        ]
        return self._batch(collection, indexes)


def main(port: int) -> None:
    """Serve until the process is ended."""
    import mockupdb
    import mongomock

    answers = Answers(mongomock.MongoClient())
    server = mockupdb.MockupDB(port=port)
    # It takes a function for one only if it is a plain one.
    server.autoresponds(lambda request: answers.answer(request))
    server.run()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
