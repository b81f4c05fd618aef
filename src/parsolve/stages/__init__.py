"""The engine: programs bound to fields, in the plain order or several stages in one pass through memory."""
