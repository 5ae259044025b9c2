"""Promise 3, for many mutations: each is carried out once.

batch          the functions that a user calls, and workers that pull mutations, carry them out, and stop
once           one mutation for each event, however often the event is delivered
hold           troubles that all share: they hold a batch back, or stop it
carrier        one mutation: begun, sent or settled, and its outcome written
outcomes       the outcomes of mutations, and their report
journal        the memory of a batch: the event loop's side
journal_file   its file: lines, the standings of mutations, and a view of them for people
"""
