"""Networks: patterns are judged by training them, all as one batch of replicas."""
