"""One signed call over the wire, whatever the network and the server do."""
