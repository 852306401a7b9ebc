"""Mail through the HTTP interfaces of the large senders, and what they report back."""
