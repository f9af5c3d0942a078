"""The methods that follow from the declared endpoints."""
