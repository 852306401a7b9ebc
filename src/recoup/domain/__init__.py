"""The words of the trade as values: money, instants, declines, cases, attempts, messages, policies."""
