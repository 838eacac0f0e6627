// One walk through the organisation with jsforce as it comes; only the address is ours. Prints what it was told, as JSON.
// Usage: node journey.mjs <base URL> <client id> <client secret> <id of an existing contact> <id of a deleted contact>
import jsforce from 'jsforce';

const [url, clientId, clientSecret, contact, deletedContact] = process.argv.slice(2);
const connection = new jsforce.Connection({ version: '60.0', oauth2: { loginUrl: url, clientId, clientSecret } });
const told = {};

async function refusalOf(promise) {
  try {
    return { accepted: await promise };
  } catch (error) {
    return { errorCode: error.errorCode, message: error.message };
  }
}

const user = await connection.authorize({ grant_type: 'client_credentials' });
told.user = { organizationId: user.organizationId, instanceUrl: connection.instanceUrl };
told.identity = (await connection.request('/services/oauth2/userinfo')).user_id === user.id;

const contacts = connection.sobject('Contact');
const tasks = connection.sobject('Task');

const pages = { headers: { 'Sforce-Query-Options': 'batchSize=500' } };
const first = await connection.query('SELECT Id, Name FROM Contact ORDER BY Name', pages);
const all = await connection.query('SELECT Id FROM Contact', { autoFetch: true, maxFetch: 10000, ...pages });
told.paging = { firstPage: first.records.length, done: first.done, total: first.totalSize, fetched: all.records.length };
told.deletedToo = (await connection.query('SELECT Id FROM Contact', { autoFetch: true, maxFetch: 10000, scanAll: true })).totalSize;
told.found = await contacts.find({ Id: contact }, 'Id, Name, HasOptedOutOfEmail, Account.Name').execute();

const created = await contacts.create({ FirstName: 'Ada', LastName: "O'Hara 🚀", Email: 'ada@journey.example' });
told.created = created.success;
told.updated = (await contacts.update({ Id: created.id, HasOptedOutOfEmail: true })).success;
told.read = await contacts.retrieve(created.id);
told.upserted = [];
for (const Subject of ['first', 'second']) {
  const outcome = await tasks.upsert({ Writeback_Key__c: 'journey-key-1', Subject, WhoId: created.id }, 'Writeback_Key__c');
  told.upserted.push(outcome.created);
}
told.destroyed = (await contacts.destroy(created.id)).success;
told.readAgain = await refusalOf(contacts.retrieve(created.id));
told.destroyedAgain = await refusalOf(contacts.destroy(deletedContact));
told.nameless = await refusalOf(contacts.create({ FirstName: 'Nobody' }));
told.malformed = await refusalOf(connection.query("SELECT Id FROM Contact WHERE Id = 'abc'").run());

const many = Array.from({ length: 200 }, (_, number) => ({ LastName: `Many ${number}`, Department: 'journey' }));
many[7] = { FirstName: 'Nameless' };
const outcomes = await contacts.create(many);
told.manyCreated = outcomes.filter((outcome) => outcome.success).length;
told.manyRefused = outcomes[7];
const ids = outcomes.filter((outcome) => outcome.success).map((outcome) => outcome.id);
const updates = await contacts.update(ids.map((Id) => ({ Id, HasOptedOutOfEmail: true })));
told.manyUpdated = updates.filter((outcome) => outcome.success).length;
told.manyRead = (await contacts.retrieve(ids)).every((record) => record.HasOptedOutOfEmail);
const tooMany = ids.concat(ids).map((Id) => ({ Id, HasOptedOutOfEmail: false }));
told.inTwoCalls = (await contacts.update(tooMany.slice(0, 201), { allowRecursive: true })).length;
told.manyDestroyed = (await contacts.destroy(ids)).filter((outcome) => outcome.success).length;
told.left = await contacts.count({ Department: 'journey' });

const patience = { pollInterval: 100, pollTimeout: 120000 };
const input = [
  { LastName: 'Bulk 1', Department: 'bulk', Email: null, Description: 'two\nlines, "quoted" 🚀' },
  { LastName: 'Bulk 2', Department: 'bulk', Email: 'no address', Description: null },
];
const inserted = await connection.bulk2.loadAndWaitForResults({ object: 'Contact', operation: 'insert', input, ...patience });
told.bulkInserted = inserted.successfulResults;
told.bulkFailed = inserted.failedResults;
told.bulkUnprocessed = inserted.unprocessedRecords;
const bulkId = inserted.successfulResults[0].sf__Id;
const flagged = [{ Id: bulkId, HasOptedOutOfEmail: true, Department: null }];
await connection.bulk2.loadAndWaitForResults({ object: 'Contact', operation: 'update', input: flagged, ...patience });
told.bulkRead = await contacts.retrieve(bulkId);
const bulkQuery = `SELECT Id, Name, Description FROM Contact WHERE Id = '${bulkId}'`;
told.bulkQueried = await (await connection.bulk2.query(bulkQuery, patience)).toArray();

const description = await contacts.describe();
told.described = description.fields.find((field) => field.name === 'HasOptedOutOfEmail').label;
told.objects = (await connection.describeGlobal()).sobjects.map((sobject) => sobject.name);
told.limits = (await connection.limits()).DailyApiRequests;
told.usage = connection.limitInfo.apiUsage;

console.log(JSON.stringify(told));
