"""The Streamlit console: talks HTTP to the API only."""
