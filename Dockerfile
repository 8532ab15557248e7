# The command line without a GPU: docker build -t chronofacts . && docker run --rm -v "$PWD:/work" chronofacts demo
FROM python:3.12-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
WORKDIR /src
COPY . .
# A CPU build of torch is a tenth of the one with CUDA.
RUN pip install 'torch>=2.6,<2.14' --index-url https://download.pytorch.org/whl/cpu \
    && pip install '.[edit,flows,gguf]' \
    && rm -rf /src \
    && useradd --create-home chronofacts
USER chronofacts
WORKDIR /work
ENTRYPOINT ["chronofacts"]
CMD ["--help"]
