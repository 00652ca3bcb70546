"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook: somebody outside is asked about a write.

The model first. A write is decided synchronously inside the store's transaction, and an answer from outside takes
long. So the decision is *rehearsed*: it runs up to the point where a webhook must be asked, and there it stops with
`Pending` (`apiserver/pending`). Whoever made the transaction has the question answered, outside of it, and decides
anew; then the answer is known (`exchange`), provided that the object is still the one that was asked about. If somebody
else changed it meanwhile, everything is asked again, as upstream does when it retries.

    hooks       configuration objects → webhooks in the order in which they are called
    matching    which webhook is concerned, and in which version it sees the object
    expressions what CEL sees of a write: match conditions
    review      the question
    answering   what the answer must look like
    exchange    what has been asked and answered about one object of one request

Calls themselves are made by a port (`kloster.apiserver.cluster.WebhookCaller`), which decides where may be called.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

from kloster.apiserver.admission.webhooks.exchange import Exchange, exchange

__all__ = ["Exchange", "exchange"]
