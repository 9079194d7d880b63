"""A terminal that can be trusted without a network.

code ──> deciding ──> the server, while it can be reached
                 ├──> the hub of the store, where there is one        hub.py
                 └──> this terminal alone                             judging.py
                           by what it has been told                   holdings.py, clock.py
                           and on disk before anybody sees green      journal.py
whatever was decided ──> the screen                                   showing.py, page.py
both ways, whenever the network is there                              syncing.py
"""
