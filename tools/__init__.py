"""
``cocaine-tool``: the node's and the storage's things from a command line.

::

    cli        groups, lazily loaded; the reactor; exit statuses
    options    what every command takes, and how a coroutine becomes one
    client     the connections of one run
    store      documents and archives in the storage service
    entities   list, view, copy … for profiles, runlists, groups
    output     text for people, JSON for scripts
    failures   errors, with what to do next

Words, flags, collections and encodings are those of the published tool
(tools.md §1-2).  It differs where that one misled: errors go to standard error,
every answer is waited for, days are in UTC.
"""
